// Wrong usage: status 2 and one line that names what is wrong and where help is. Right questions: status 0.
#include <gmock/gmock.h>

#include "cli/process.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;

struct WrongUsage {
  std::vector<std::string> arguments, words;
};

TEST(Usage, WhatIsWrongIsNamedInOneLineWithTheWayToHelp) {
  const std::vector<WrongUsage> table{
      {{}, {"(see hadal --help)"}},
      {{"fly"}, {"fly", "(see hadal --help)"}},
      {{"--loud"}, {"(see hadal --help)"}},
      {{"logits", "--loud"}, {"(see hadal logits --help)"}},
      {{"logits"}, {"--tokens", "--tokens-file", "(see hadal logits --help)"}},
      {{"logits", "--tokens", "1", "--tokens-file", "f.json"}, {"--tokens", "--tokens-file"}},
      {{"logits", "--tokens", "1,,2"}, {"--tokens", "\"1,,2\""}},
      {{"logits", "--tokens", "1,-2"}, {"--tokens", "\"1,-2\""}},
      {{"logits", "--tokens", "1,99999999999"}, {"--tokens", "\"1,99999999999\""}},
      {{"logits", "--tokens", "1", "--positions", "x"}, {"--positions", "\"x\""}},
      {{"logits", "--tokens", "1", "--threads", "-1"}, {"--threads", "-1", "0 to 1024"}},
      {{"logits", "--tokens", "1", "--threads", "many"}, {"--threads", "many"}},
      {{"gradients", "--tokens-file", "f.json"}, {"--out", "(see hadal gradients --help)"}},
      {{"tokenize", "--special", "all"}, {"--special", "all", "(see hadal tokenize --help)"}},
      {{"render", "--format", "chatml"}, {"--format", "chatml", "deepseek-r1", "(see hadal render --help)"}},
      {{"run", "--format", "chatml"}, {"--format", "chatml", "smollm2", "(see hadal run --help)"}},
      {{"chat", "--format", "chatml"}, {"--format", "chatml", "(see hadal chat --help)"}},
      {{"serve", "--format", "chatml"}, {"--format", "chatml", "(see hadal serve --help)"}},
      {{"perplexity"}, {"FILE", "(see hadal perplexity --help)"}},
      {{"perplexity", "f.txt", "--context", "1"}, {"--context", "1"}},
      {{"train"}, {"RECIPE", "(see hadal train --help)"}},
      {{"inspect", "one", "two"}, {"two", "(see hadal inspect --help)"}},
  };
  for (const WrongUsage& row : table) {
    SCOPED_TRACE(::testing::PrintToString(row.arguments));
    expect_refused(run_hadal(row.arguments), kWrongUsage, row.words);
  }
}

TEST(Usage, HelpAndVersionAreResults) {
  EXPECT_THAT(expect_done(run_hadal({"--help"})), HasSubstr("Exit status: 0 done;"));
  EXPECT_THAT(expect_done(run_hadal({"--version"})), HasSubstr("hadal "));
}

TEST(Usage, EveryCommandInTheListHasItsOwnHelp) {
  const std::string help = expect_done(run_hadal({"--help"}));
  for (const char* command : {"run", "chat", "serve", "inspect", "logits", "gradients", "tokenize", "render",
                              "perplexity", "bench", "eval", "train"}) {
    EXPECT_THAT(help, HasSubstr(std::string("\n  ") + command + " ")) << command;
    EXPECT_THAT(expect_done(run_hadal({command, "--help"})), HasSubstr("Usage: hadal ")) << command;
  }
}

}  // namespace
}  // namespace hadal
