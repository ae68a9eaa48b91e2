// What several commands have in common: the model argument, --exact and --threads, standard input.
#pragma once

#include <string>

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
void add_sampling_options(CLI::App& command, SamplingFlags& flags);

// "on" or "off" into `thinking`.
void add_think_option(CLI::App& command, std::optional<bool>& thinking);

// All of standard input, up to max_bytes.
Result<std::string> read_standard_input(std::size_t max_bytes = 256u << 20);

// Text that must be UTF-8; the error says where it is not. `subject` names it.
Status check_utf8(std::string_view subject, std::string_view text);

}  // namespace hadal
