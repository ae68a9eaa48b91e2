// run, chat, eval, bench and serve as processes, on tiny models that say what is known.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "base/json.h"
#include "chat/tiny_model.h"
#include "cli/process.h"

namespace hadal {
namespace {

using testing::babbler;
using ::testing::HasSubstr;
using testing::kAnswer;
using testing::kReasoning;
using ::testing::Not;
using testing::reciter;

Json json_of(const std::string& text) {
  auto json = parse_json(text, "stdout");
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? *json : Json();
}

const std::string kThoughtAndAnswer =
    "<think>\n" + std::string(kReasoning) + "\n</think>\n\n" + std::string(kAnswer) + "\n";

TEST(Run, StreamsReasoningBetweenTagsAndTheAnswerAndPutsFiguresOnStderr) {
  const Outcome outcome = run_hadal({"run", reciter().string(), "-p", "What do fish cost?"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, kThoughtAndAnswer);
  EXPECT_THAT(outcome.err, HasSubstr("tokens/s"));
  EXPECT_THAT(outcome.err, HasSubstr("W at $"));  // a cost never stands without what it assumes
}

TEST(Run, ReadsThePromptFromStandardInputAndGivesOneJsonObject) {
  const Outcome outcome = run_hadal({"run", reciter().string(), "--json"}, "What do fish cost?\n");
  const Json answer = json_of(expect_done(outcome));
  EXPECT_EQ(answer["text"], kAnswer);
  EXPECT_EQ(answer["reasoning"], kReasoning);
  EXPECT_EQ(answer["finish_reason"], "stop");
  EXPECT_GT(answer["usage"]["prompt_tokens"].get<int>(), 5);
  EXPECT_GT(answer["usage"]["completion_tokens"].get<int>(), answer["usage"]["reasoning_tokens"].get<int>());
  EXPECT_GT(answer["timings"]["tokens_per_second"].get<double>(), 0);
}

TEST(Run, StopStringsAndLimitsEndTheAnswer) {
  const Json stopped =
      json_of(expect_done(run_hadal({"run", reciter().string(), "-p", "x", "--json", "--stop", " STOP"})));
  EXPECT_EQ(stopped["text"], std::string(kAnswer.substr(0, kAnswer.find(" STOP"))));
  const Json cut =
      json_of(expect_done(run_hadal({"run", babbler().string(), "-p", "x", "--json", "--max-tokens", "7"})));
  EXPECT_EQ(cut["finish_reason"], "length");
  EXPECT_EQ(cut["usage"]["completion_tokens"], 7);
}

TEST(Run, TheSeedDecides) {
  const auto babble = [](const std::string& seed) {
    return json_of(expect_done(run_hadal({"run", babbler().string(), "--raw", "-p", "abc", "--json", "--temperature",
                                          "1.5", "--max-tokens", "24", "--seed", seed})))["text"];
  };
  EXPECT_EQ(babble("5"), babble("5"));
  EXPECT_NE(babble("5"), babble("6"));
}

TEST(Run, CtrlCEndsTheAnswerAndKeepsWhatWasSaid) {
  Process process({"run", babbler().string(), "--raw", "-p", "abc", "--temperature", "1"});
  for (int i = 0; i < 500 && process.out().empty(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  process.signal(SIGINT);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.status, 0);
  EXPECT_FALSE(outcome.out.empty());
}

TEST(Run, ALongPromptIsRefusedInOneLine) {
  expect_refused(run_hadal({"run", babbler().string(), "-p", std::string(2000, 'x')}), kWorldWasWrong,
                 {"prompt has", "the context holds 512"});
  expect_refused(run_hadal({"run", babbler().string(), "-p", "\xff"}), kWorldWasWrong, {"expected UTF-8"});
  expect_refused(run_hadal({"run", babbler().string(), "-p", "x", "--top-p", "2"}), kWrongUsage, {"--top-p"});
}

TEST(Chat, TakesALineATurnAndItsCommands) {
  TempDir folder;
  const std::string saved = (folder / "talk.json").string();
  const Outcome outcome = run_hadal({"chat", reciter().string()}, "What do fish cost?\n/think off\n/bogus\n/save " +
                                                                      saved + "\n/quit\nnever asked\n");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, kThoughtAndAnswer);
  EXPECT_THAT(outcome.err, HasSubstr("/bogus: no such command"));
  const Json talk = json_of(read_file(saved));
  ASSERT_EQ(talk["messages"].size(), 2u);
  EXPECT_EQ(talk["messages"][0]["content"], "What do fish cost?");
  EXPECT_EQ(talk["messages"][1]["reasoning_content"], kReasoning);
}

TEST(Chat, WhatCannotBeAnsweredLeavesTheConversationAsItWas) {
  const Outcome outcome = run_hadal({"chat", reciter().string()}, std::string(2000, 'x') + "\nfish?\n");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.err, HasSubstr("the context holds"));
  EXPECT_EQ(outcome.out, kThoughtAndAnswer);
}

TEST(Chat, AQuestionThatCannotBeAskedAgainKeepsItsAnswer) {
  TempDir folder;
  const std::string file = (folder / "talk.json").string();
  const Outcome outcome = run_hadal({"chat", reciter().string()},
                                    "fish?\n/system " + std::string(2000, 'x') + "\n/again\n/save " + file + "\n");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.err, HasSubstr("the context holds"));
  const Json talk = json_of(read_file(file));
  ASSERT_EQ(talk["messages"].size(), 3u);
  EXPECT_EQ(talk["messages"][1]["content"], "fish?");
  EXPECT_EQ(talk["messages"][2]["reasoning_content"], kReasoning);
}

// A reciter whose answer is 42.
std::filesystem::path answers_42() {
  static const TempDir folder;
  static const bool made = [] {
    testing::write_reciter(folder / "model", "so</think>42");
    return true;
  }();
  EXPECT_TRUE(made);
  return folder / "model";
}

constexpr const char* kQuestions =
    "{\"task\": \"gcd\", \"question\": \"a\", \"answer\": \"42\", \"meta\": {\"kept\": 1}}\n"
    "\n"
    "{\"task\": \"gcd\", \"question\": \"b\", \"answer\": \"41\"}\n"
    "{\"task\": \"word_problems\", \"lang\": \"de\", \"question\": \"c\", \"answer\": \"42\", \"steps\": "
    "[\"40+2=42\"]}\n";

TEST(Eval, CountsByTaskAndLanguageAndKeepsTheLines) {
  TempDir folder;
  const std::string file = (folder / "questions.jsonl").string(), out = (folder / "results.jsonl").string();
  write_file(file, kQuestions);
  const Outcome outcome = run_hadal({"eval", answers_42().string(), file, "--batch", "2", "--out", out, "--json"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.err, HasSubstr("66.7% right"));  // the progress line
  const Json scores = json_of(outcome.out);
  EXPECT_EQ(scores["tasks"]["gcd"], (Json{{"n", 2}, {"right", 1}}));
  EXPECT_EQ(scores["tasks"]["word_problems"], (Json{{"n", 1}, {"right", 1}}));
  EXPECT_EQ(scores["languages"], (Json{{"de", {{"n", 1}, {"right", 1}}}}));
  EXPECT_DOUBLE_EQ(scores["mean"].get<double>(), 0.75);  // over tasks
  const std::string results = read_file(out);
  const Json first = json_of(results.substr(0, results.find('\n')));
  EXPECT_EQ(first["output"], "42");
  EXPECT_EQ(first["reasoning"], "so");
  EXPECT_EQ(first["right"], true);
  EXPECT_EQ(first["meta"]["kept"], 1);
}

TEST(Eval, JudgesGivenAnswersWithoutAModel) {
  TempDir folder;
  const std::string file = (folder / "given.jsonl").string();
  write_file(file, "{\"task\": \"chain_sum\", \"question\": \"a\", \"answer\": \"8\", \"answer_given\": \"+8\"}\n");
  const Json scores = json_of(expect_done(run_hadal({"eval", "--answers", file, "--json"})));
  EXPECT_EQ(scores["tasks"]["chain_sum"], (Json{{"n", 1}, {"right", 1}}));
}

TEST(Eval, ABrokenLineIsNamedBeforeAnythingIsAsked) {
  TempDir folder;
  const std::string file = (folder / "questions.jsonl").string(), out = (folder / "results.jsonl").string();
  write_file(file, std::string(kQuestions) + "{\"task\": \"poetry\", \"question\": \"d\", \"answer\": \"e\"}\n");
  expect_refused(run_hadal({"eval", answers_42().string(), file, "--out", out}), kWorldWasWrong,
                 {"questions.jsonl:5", "poetry"});
  EXPECT_FALSE(std::filesystem::exists(out));
  expect_refused(run_hadal({"eval", answers_42().string()}), kWorldWasWrong, {"expected a file of questions"});
}

TEST(Eval, AQuestionThatDoesNotFitIsWrongAndTheOthersAreAsked) {
  TempDir folder;
  const std::string file = (folder / "questions.jsonl").string();
  write_file(file, kQuestions + std::string("{\"task\": \"gcd\", \"answer\": \"42\", \"question\": \"") +
                       std::string(2000, 'x') + "\"}\n");
  const Outcome outcome = run_hadal({"eval", answers_42().string(), file, "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const Json scores = json_of(outcome.out);
  EXPECT_EQ(scores["tasks"]["gcd"], (Json{{"n", 3}, {"right", 1}}));
  EXPECT_EQ(scores["too_long"], 1);
}

// Answers come faster than anybody would wait for one.
TEST(Eval, CtrlCEndsItAlsoBetweenAnswers) {
  TempDir folder;
  const std::string file = (folder / "questions.jsonl").string(), out = (folder / "results.jsonl").string();
  std::string questions;
  for (int i = 0; i < 20000; ++i) questions += kQuestions;
  write_file(file, questions);
  Process eval({"eval", answers_42().string(), file, "--out", out});
  for (int i = 0; i < 5000 && !std::filesystem::exists(out + ".part"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  eval.signal(SIGINT);
  const Outcome outcome = eval.wait();
  EXPECT_EQ(outcome.status, kWorldWasWrong);
  EXPECT_THAT(outcome.err, HasSubstr("nothing is written"));
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(Bench, ReportsEachRowBesideTheMachinesLimits) {
  const Json report = json_of(expect_done(run_hadal(
      {"bench", babbler().string(), "--prefill", "32", "--decode", "8", "--depth", "0", "--batch", "1,2", "--json"})));
  for (const char* limit : {"read_gb_per_second", "bf16_gflops", "f32_gflops"})
    EXPECT_GT(report["limits"][limit].get<double>(), 0) << limit;
  ASSERT_EQ(report["prefill"].size(), 1u);
  ASSERT_EQ(report["decode"].size(), 2u);
  for (const Json& row : report["decode"]) {
    EXPECT_GT(row["tokens_per_second"].get<double>(), 0);
    EXPECT_GT(row["bytes_per_step"].get<double>(), 0);
  }
  EXPECT_GT(report["decode"][1]["bytes_per_step"].get<double>(), report["decode"][0]["bytes_per_step"].get<double>());
  expect_refused(run_hadal({"bench", babbler().string(), "--depth", "4096"}), kWorldWasWrong, {"context of 512"});
  expect_refused(run_hadal({"bench", babbler().string(), "--batch", "800000000"}), kWrongUsage,
                 {"--batch: expected numbers from 1 to 1024, found 800000000"});
}

TEST(Serve, SaysWhereItListensAndEndsWhenAsked) {
  Process process({"serve", babbler().string(), "--port", "0"});
  for (int i = 0; i < 500 && process.err().find("is served on http://127.0.0.1:") == std::string::npos; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_THAT(process.err(), HasSubstr("is served on http://127.0.0.1:"));
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait().status, 0);
}

TEST(Serve, RefusesAModelWhoseChatFormatIsNotKnown) {
  TempDir folder;
  testing::copy_model(babbler(), folder / "plain");
  BpeTrainerOptions no_roles;
  no_roles.special_tokens = {"<s>", "</s>"};
  testing::write_tokenizer(folder / "plain", testing::tiny_tokenizer("", no_roles));
  expect_refused(run_hadal({"serve", (folder / "plain").string(), "--port", "0"}), kWorldWasWrong,
                 {"plain: chat format not recognised", "deepseek-r1", "--format"});
}

TEST(Serve, RefusesToServeOthersWithoutAKey) {
  expect_refused(run_hadal({"serve", babbler().string(), "--host", "0.0.0.0", "--port", "0"}), kWorldWasWrong,
                 {"host 0.0.0.0", "expected an API key"});
  TempDir folder;
  write_file(folder / "keys", "# nobody\n\n");
  expect_refused(run_hadal({"serve", babbler().string(), "--api-key-file", (folder / "keys").string()}), kWorldWasWrong,
                 {"expected an API key a line, found none"});
}

}  // namespace
}  // namespace hadal
