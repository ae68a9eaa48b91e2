// Tool calls in an answer: from tokens to calls, in the formats that a model can be opened with.
#include <gmock/gmock.h>

#include "base/temp_dir.h"
#include "chat/answer_stream.h"
#include "chat/open_tiny.h"

namespace hadal::testing {
namespace {

using ::testing::HasSubstr;
using Start = ReasoningSplitter::Start;

#define CALLS "<｜tool▁calls▁begin｜>"
#define CALL "<｜tool▁call▁begin｜>"
#define SEP "<｜tool▁sep｜>"
#define CALL_END "<｜tool▁call▁end｜>"
#define CALLS_END "<｜tool▁calls▁end｜>"

BpeTrainerOptions with_markers() {
  BpeTrainerOptions options;
  for (const std::string_view marker : ToolCallParser::markers(ToolCallSyntax::deepseek_v31))
    options.special_tokens.emplace_back(marker);
  return options;
}

const Tokenizer& tokenizer() {
  static const Tokenizer made = opened(tiny_tokenizer("get weather so END {}", with_markers()));
  return made;
}

struct Streamed {
  std::string reasoning, text;
  std::vector<ToolCallDelta> calls;
};

Streamed stream(std::string_view said, const AnswerStream::Options& options,
                SpecialTokens special = SpecialTokens::parse) {
  AnswerStream answer(tokenizer(), options);
  Delta all;
  for (const TokenId id : tokenizer().encode(said, special)) all.append(answer.push(id));
  all.append(answer.finish());
  EXPECT_EQ(all.text, answer.whole().text);
  EXPECT_EQ(all.tool_calls.size(), answer.whole().tool_calls.size());
  return {all.reasoning, all.text, all.tool_calls};
}

AnswerStream::Options calls_of_v31(Start start) {
  return {.start = start, .calls = {.syntax = ToolCallSyntax::deepseek_v31}};
}

const std::string kSaid = "so\n" CALLS CALL "get" SEP "{\"深\": 1}" CALL_END CALLS_END;

TEST(AnswerCalls, AreTakenOutOfTheText) {
  const Streamed out = stream(kSaid, calls_of_v31(Start::undecided));
  EXPECT_EQ(out.text, "so");
  ASSERT_EQ(out.calls.size(), 1u);
  EXPECT_EQ(out.calls[0].name, "get");
  EXPECT_EQ(out.calls[0].arguments, "{\"深\": 1}");
}

TEST(AnswerCalls, EndAThoughtThatWasNotClosed) {
  const Streamed out = stream(kSaid, calls_of_v31(Start::reasoning));
  EXPECT_EQ(out.reasoning, "so");
  EXPECT_EQ(out.text, "");
  EXPECT_EQ(out.calls.size(), 1u);
}

TEST(AnswerCalls, OtherMarkersInAThoughtMeanNothing) {
  const Streamed out = stream("so" SEP "</think>END" CALL_END, calls_of_v31(Start::reasoning));
  EXPECT_EQ(out.reasoning, "so");
  EXPECT_EQ(out.text, "END" CALL_END);
  EXPECT_TRUE(out.calls.empty());
}

TEST(AnswerCalls, MarkersThatAreSpelledAreText) {
  const Streamed out = stream(kSaid, calls_of_v31(Start::undecided), SpecialTokens::plain);
  EXPECT_EQ(out.text, kSaid);
  EXPECT_TRUE(out.calls.empty());
}

TEST(AnswerCalls, WithoutAParserMarkersVanishAsOtherControlTokensDo) {
  EXPECT_EQ(stream(kSaid, {.start = Start::undecided}).text, "so\nget{\"深\": 1}");
}

TEST(AnswerCalls, StopStringsAreSoughtInContentAlone) {
  AnswerStream::Options options = calls_of_v31(Start::undecided);
  options.stop = {"get", "so E"};
  const Streamed call = stream(kSaid, options);
  EXPECT_EQ(call.text, "so");
  EXPECT_EQ(call.calls.size(), 1u);
  EXPECT_TRUE(stream("get" CALLS CALL "get" SEP "{}" CALL_END, options).calls.empty());
}

TEST(AnswerCalls, OfLlamaEndsTheAnswer) {
  AnswerStream answer(tokenizer(), {.start = Start::undecided, .calls = {.syntax = ToolCallSyntax::llama}});
  Delta all;
  const auto say = [&](std::string_view said) {
    for (const TokenId id : tokenizer().encode(said)) all.append(answer.push(id));
  };
  say("{\"name\": \"get\", \"parameters\": {\"so\": 1}");
  EXPECT_FALSE(answer.stopped());
  say("}");
  EXPECT_TRUE(answer.stopped());
  say("; {\"name\": \"weather\", \"parameters\": {}}");
  all.append(answer.finish());
  EXPECT_EQ(all.text, "");
  ASSERT_EQ(answer.whole().tool_calls.size(), 1u);
  EXPECT_EQ(answer.whole().tool_calls[0].arguments, "{\"so\": 1}");
}

TEST(AnswerCalls, OneIsEnoughWhereOneIsAskedFor) {
  AnswerStream::Options options = calls_of_v31(Start::undecided);
  options.calls.count = CallCount::one;
  AnswerStream answer(tokenizer(), options);
  const auto say = [&](std::string_view said) {
    for (const TokenId id : tokenizer().encode(said, SpecialTokens::parse)) answer.push(id);
  };
  say(CALLS CALL "get" SEP "{}");
  EXPECT_FALSE(answer.stopped());
  say(CALL_END);
  EXPECT_TRUE(answer.stopped());
  say(CALL "weather" SEP "{}" CALL_END CALLS_END "so");
  answer.finish();
  EXPECT_EQ(answer.whole().text, "");
  ASSERT_EQ(answer.whole().tool_calls.size(), 1u);
  EXPECT_EQ(answer.whole().tool_calls[0].name, "get");
}

// After the prompts of R1 and of V3.1 alike, it calls.
const std::filesystem::path& caller() {
  static const TempDir folder;
  static const std::filesystem::path directory = [] {
    write_reciter(folder / "caller", "Let me</think>" CALLS CALL "function" SEP "weather" CALL_END CALLS_END,
                  with_markers());
    return folder / "caller";
  }();
  return directory;
}

std::unique_ptr<ChatModel> open_caller(const char* format) {
  return open_tiny(caller(), {.exact = true, .threads = 1, .max_sequences = 1, .format = format});
}

GenerationRequest with_tools(ToolChoice choice) {
  GenerationRequest request = ask("What is the weather?");
  request.tools = *OrderedJson::parse(R"([{"type": "function", "function": {"name": "function"}}])", "tools");
  request.tool_choice = choice;
  return request;
}

TEST(AnswerCalls, ModelWithDefinitionsCalls) {
  const auto model = open_caller("deepseek-v3.1");
  const auto completion = model->generate(with_tools(ToolChoice::automatic));
  ASSERT_TRUE(completion.ok()) << completion.error().message;
  EXPECT_EQ(completion->finish_reason, FinishReason::tool_calls);
  EXPECT_EQ(completion->text, "");
  ASSERT_EQ(completion->tool_calls.size(), 1u);
  EXPECT_EQ(completion->tool_calls[0].name, "function");
  EXPECT_EQ(completion->tool_calls[0].arguments, "weather");
}

TEST(AnswerCalls, ModelIsNotAskedForMoreThanTheOneCall) {
  const auto model = open_caller("deepseek-v3.1");
  GenerationRequest request = with_tools(ToolChoice::automatic);
  const auto any = model->generate(request);
  request.call_count = CallCount::one;
  const auto one = model->generate(request);
  ASSERT_TRUE(any.ok() && one.ok());
  EXPECT_EQ(one->finish_reason, FinishReason::tool_calls);
  ASSERT_EQ(one->tool_calls.size(), 1u);
  EXPECT_EQ(one->tool_calls[0].arguments, "weather");
  EXPECT_EQ(one->usage.completion_tokens, any->usage.completion_tokens - 2) << "CALLS_END, and the token that ends";
}

TEST(AnswerCalls, ChoiceOfNoneShowsNoToolsAndTakesNothingOut) {
  const auto model = open_caller("deepseek-v3.1");
  const auto without = model->generate(ask("What is the weather?"));
  const auto none = model->generate(with_tools(ToolChoice::none));
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->finish_reason, FinishReason::stop);
  EXPECT_EQ(none->text, "functionweather");
  EXPECT_EQ(none->usage.prompt_tokens, without->usage.prompt_tokens);
}

TEST(AnswerCalls, FormatWithoutDefinitionsSaysSoAndUnderstandsCallsAllTheSame) {
  const auto model = open_caller("deepseek-r1");
  const auto refused = model->generate(with_tools(ToolChoice::automatic));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(
      refused.error().message,
      "tools: caller (deepseek-r1) has no place for definitions; describe them in a system message, and its calls "
      "are understood");
  GenerationRequest described = ask("What is the weather?");
  described.tool_choice = ToolChoice::automatic;
  const auto completion = model->generate(std::move(described));
  ASSERT_TRUE(completion.ok());
  EXPECT_EQ(completion->reasoning, "Let me");
  ASSERT_EQ(completion->tool_calls.size(), 1u);
  EXPECT_EQ(completion->tool_calls[0].name, "weather");
}

TEST(AnswerCalls, FormatWithoutToolsRefusesThem) {
  const auto refused = open_caller("deepseek-v2")->generate(with_tools(ToolChoice::automatic));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "tools: caller (deepseek-v2) has no tool calls");
}

TEST(AnswerCalls, VocabularyWithoutTheMarkersHasNoCalls) {
  const auto model = open_tiny(reciter());
  EXPECT_EQ(model->generate(with_tools(ToolChoice::automatic)).error().message,
            "tools: reciter (deepseek-r1) has no tool calls");
  GenerationRequest round = ask("hi");
  round.messages.push_back({.role = "tool", .content = "r", .reasoning_content = ""});
  EXPECT_EQ(model->generate(std::move(round)).error().message,
            "messages[1]: reciter (deepseek-r1) has no tool calls and no results of tools");
}

TEST(OpenChatModel, FormatCanBeForcedAndBringsItsSampling) {
  EXPECT_EQ(open_caller("")->default_sampling().temperature, 0.6);
  EXPECT_EQ(open_caller("deepseek-v3")->default_sampling().temperature, 0.3);
  const auto unknown = ChatModel::open(caller().string(), {.format = "chatml"});
  ASSERT_FALSE(unknown.ok());
  EXPECT_THAT(unknown.error().message, HasSubstr("chat format: expected one of deepseek-v2"));
}

}  // namespace
}  // namespace hadal::testing
