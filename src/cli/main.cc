// `hadal COMMAND ...`: chooses the command and turns its outcome into the exit status.
//
// Not the commands themselves (one file each, command.h says how they are added).
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "base/printable.h"
#include "cli/command.h"

namespace hadal {

#define HADAL_COMMAND(name) void add_##name##_command(CLI::App& app, CommandResult& result);
#include "command_list.inc"
#undef HADAL_COMMAND

namespace {

constexpr int kDone = 0, kWorldWasWrong = 1, kWrongUsage = 2;

constexpr const char* kExamples =
    "\nMODEL is a directory (config.json, safetensors, tokenizer.json), a .gguf file, an id in the local Hugging Face "
    "cache\n"
    "(org/name) or a built-in name; left out, it is abyss.\n"
    "\nExamples:\n"
    "  hadal run -p \"What is 17 * 23?\"          one answer, streamed\n"
    "  hadal chat                               a conversation in the terminal\n"
    "  hadal serve --port 8080                  the web chat and the API on this machine\n"
    "  hadal inspect MODEL                      what a model is, and what it needs\n"
    "  echo \"The deep sea\" | hadal tokenize --json\n"
    "  hadal quantize MODEL small.gguf --type q4_k\n"
    "  hadal train recipes/abyss.toml           a model of one's own\n"
    "\nExit status: 0 done; 1 a file, a model or a request was wrong; 2 wrong usage.\n";

// One line, whatever the message holds.
void complain(std::string message) {
  for (char& c : message)
    if (c == '\n' || c == '\r') c = ' ';
  while (!message.empty() && message.back() == ' ') message.pop_back();
  std::fprintf(stderr, "hadal: %s\n", printable(message, message.size()).c_str());
}

// One that is closed would be the next file that is opened, and get what is meant for it.
void open_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)!::open("/dev/null", O_RDWR);
}

std::string help_hint(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return chosen.empty() ? "hadal --help" : "hadal " + chosen.front()->get_name() + " --help";
}

// CLI11 says only that a command is required.
bool names_no_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return false;
  return app.get_subcommands([&](const CLI::App* command) { return command->get_name() == argv[1]; }).empty();
}

int run(int argc, char** argv) {
  CLI::App app("Trains, runs and serves DeepSeek-style reasoning models on the hardware you have.", "hadal");
  app.set_version_flag("--version", "hadal " HADAL_VERSION, "Print the version");
  app.footer(kExamples);
  app.require_subcommand(1);

  CommandResult result;
#define HADAL_COMMAND(name) add_##name##_command(app, result);
#include "command_list.inc"
#undef HADAL_COMMAND

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {  // --help, --version
    return app.exit(request);
  } catch (const CLI::ParseError& error) {
    complain((names_no_command(app, argc, argv) ? std::string("unknown command ") + argv[1] : error.what()) + " (see " +
             help_hint(app) + ")");
    return kWrongUsage;
  }
  if (!result.status.ok()) {
    complain(result.status.error().message);
    return kWorldWasWrong;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
    complain("stdout: could not be written");
    return kWorldWasWrong;
  }
  return kDone;
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) {
  hadal::open_standard_streams();
  try {
    return hadal::run(argc, argv);
  } catch (const std::bad_alloc&) {
    hadal::complain("out of memory");
  } catch (const std::exception& error) {
    hadal::complain(error.what());
  }
  return hadal::kWorldWasWrong;
}
