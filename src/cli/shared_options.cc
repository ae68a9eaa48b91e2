#include "cli/shared_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <map>

#include "base/file.h"
#include "chat/model_files.h"
#include "kernels/quantiser.h"
#include "spec/open_checkpoint.h"

namespace hadal {

void add_model_argument(CLI::App& command, std::string& model) {
  model = kBuiltInModel;
  command.add_option("MODEL", model,
                     "A directory, a .gguf file, an id in the Hugging Face cache or a built-in name; left out: abyss");
}

void add_compute_options(CLI::App& command, ComputeOptions& options) {
  command.add_flag("--exact", options.exact,
                   "Stored weights in float32, the same bits whatever the batch and the threads");
  command.add_option("--threads", options.threads, "Threads; 0 takes all")->check(CLI::Range(0, 1024));
}

SamplingOptions SamplingFlags::over(SamplingOptions o) const {
  o.temperature = temperature.value_or(o.temperature);
  o.top_p = top_p.value_or(o.top_p);
  o.min_p = min_p.value_or(o.min_p);
  o.top_k = top_k.value_or(o.top_k);
  if (seed) o.seed = seed;
  return o;
}

CLI::Validator whole_number(std::uint64_t least) {
  const auto check = [least](const std::string& text) {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [after, error] = std::from_chars(text.data(), end, number);
    return error == std::errc() && after == end && number >= least
               ? std::string()
               : fmt::format("expected a whole number from {} to {}, found {}", least, UINT64_MAX, text);
  };
  return {check, fmt::format("[{} - ...]", least)};
}

CLI::Validator one_of(std::vector<std::string> names) {
  const auto check = [names](const std::string& name) {
    return std::ranges::find(names, name) != names.end()
               ? std::string()
               : fmt::format("expected one of {}, found {}", fmt::join(names, ", "), name);
  };
  return {check, fmt::format("{{{}}}", fmt::join(names, ","))};
}

void add_block_type_option(CLI::App& command, std::string& type) {
  command.add_option("--type", type, "Of the matrices")->capture_default_str()->check(one_of(quantisable_types()));
}

void add_gguf_out(CLI::App& command, std::string& out) {
  command.add_option("OUT", out, "The .gguf file to write")->required()->check([](const std::string& path) {
    return is_gguf(path) ? "" : "expected a name that ends in .gguf, found " + path;
  });
}

void add_sampling_options(CLI::App& command, SamplingFlags& flags) {
  command.add_option("--temperature", flags.temperature, "0 is greedy; left out: the model's own")
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--top-p", flags.top_p, "Draw from the likeliest tokens that hold this share, above 0")
      ->check(CLI::Range(1e-9, 1.0).description("(0 - 1]"));
  command.add_option("--top-k", flags.top_k, "Draw from the k likeliest tokens; 0 is all")
      ->check(CLI::Range(0, INT32_MAX));
  command.add_option("--min-p", flags.min_p, "Leave out what is below this share of the likeliest")
      ->check(CLI::Range(0.0, 1.0));
  command
      .add_option("--seed", flags.seed,
                  "The same seed gives the same answer, always with --exact and nearly always without; left out: a new "
                  "one each time")
      ->check(whole_number(0));
}

void add_format_option(CLI::App& command, std::string& format) {
  std::vector<std::string> names;
  for (const ChatFormat* known : chat_formats()) names.emplace_back(known->name());
  command.add_option("--format", format, "The chat format; left out, it is recognised")->check(one_of(names));
}

void add_think_option(CLI::App& command, std::optional<bool>& thinking) {
  command
      .add_option_function<std::string>(
          "--think", [&thinking](const std::string& value) { thinking = value == "on"; },
          "Think before answering; left out: as the model does by itself")
      ->check(one_of({"on", "off"}));
}

std::vector<int> parse_numbers(const std::string& text, const std::string& option) {
  std::vector<int> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    int number = 0;
    const auto [after, error] = std::from_chars(at, end, number);
    const bool last = after == end;
    if (error != std::errc() || number < 0 || !(last || *after == ','))
      throw CLI::ValidationError(option, "expected numbers from 0 up with commas between, found \"" + text + "\"");
    numbers.push_back(number);
    if (last) return numbers;
    at = after + 1;
  }
}

Result<std::string> read_standard_input(std::size_t max_bytes) {
  std::string text;
  char buffer[1 << 16];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, count);
    if (text.size() > max_bytes)
      return Error{ErrorKind::invalid, fmt::format("stdin: expected at most {} bytes, found more", max_bytes)};
  }
  if (std::ferror(stdin)) return system_error("stdin", "could not be read", errno);
  return text;
}

}  // namespace hadal
