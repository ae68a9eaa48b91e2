// What several commands have in common: the model argument, --exact and --threads, sampling, lists of numbers, standard
// input.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "chat/chat_model.h"
#include "cli/command.h"
#include "kernels/compute.h"

namespace hadal {

struct ComputeOptions {
  bool exact = false;
  int threads = 0;

  Arithmetic arithmetic() const { return exact ? Arithmetic::exact : Arithmetic::fast; }
};

// The optional MODEL argument; left out, the built-in model.
void add_model_argument(CLI::App& command, std::string& model);
void add_compute_options(CLI::App& command, ComputeOptions& options);

struct SamplingFlags {  // what was not given keeps the model's own default
  std::optional<double> temperature, top_p, min_p;
  std::optional<int> top_k;
  std::optional<std::uint64_t> seed;

  SamplingOptions over(SamplingOptions defaults) const;
};
// A check: "expected one of a, b, found c".
CLI::Validator one_of(std::vector<std::string> names);
CLI::Validator whole_number(std::uint64_t least);  // up to what 64 bits hold

// --type of what is written in blocks, and OUT, the .gguf file that it is written to.
void add_block_type_option(CLI::App& command, std::string& type);
void add_gguf_out(CLI::App& command, std::string& out);
void add_sampling_options(CLI::App& command, SamplingFlags& flags);

// --format: the name of a chat format into `format`; left out, it is recognised.
void add_format_option(CLI::App& command, std::string& format);

// "on" or "off" into `thinking`.
void add_think_option(CLI::App& command, std::optional<bool>& thinking);

// "0,63" -> {0, 63}. Wrong usage unless it is a list of numbers from 0 up. (CLI11's own lists would swallow MODEL.)
std::vector<int> parse_numbers(const std::string& text, const std::string& option);

// All of standard input, up to max_bytes.
Result<std::string> read_standard_input(std::size_t max_bytes = 256u << 20);

}  // namespace hadal
