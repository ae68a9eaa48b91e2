// The seam between `hadal` and its commands: one file a command, one function that adds it.
//
// src/cli/CMakeLists.txt holds the one list of commands, in the order of --help. Command NAME lives in NAME.cc, which
// defines
//
//   void add_NAME_command(CLI::App& app, CommandResult& result) {
//     auto options = std::make_shared<NameOptions>();
//     CLI::App* command = app.add_subcommand("NAME", "Does this");
//     command->add_option(..., options->field, "...");
//     command->callback([options, &result] { result.status = run_name(*options); });
//   }
//
// The callback does the work and leaves its Status; it throws nothing but CLI::ValidationError (wrong usage that CLI11
// could not see by itself). main.cc turns what comes back into the exit status: 0 done, 1 the world was wrong (one line
// on stderr), 2 wrong usage. A command writes its result to stdout and everything else to stderr. One thread.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string_view>

#include "base/result.h"

namespace hadal {

struct CommandResult {
  Status status = Done{};
};

// A piece of the command's result, on stdout. main.cc finds out whether it could be written.
inline void write_out(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace hadal
