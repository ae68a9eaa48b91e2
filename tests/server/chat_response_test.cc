#include "server/chat_response.h"

#include <gmock/gmock.h>

#include "base/json.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const AnswerId kId{.id = "chatcmpl-1", .model = "abyss", .created = 1'700'000'000};

Completion answer() {
  return {.reasoning = "hm",
          .text = "14",
          .finish_reason = FinishReason::stop,
          .error = {},
          .usage = {.prompt_tokens = 10, .cached_prompt_tokens = 4, .completion_tokens = 5, .reasoning_tokens = 3},
          .timings = {.queued = {}, .prefill = {}, .decode = std::chrono::microseconds(12'500)}};
}

Json data_of(const std::string& event) {
  EXPECT_THAT(event, StartsWith("data: "));
  EXPECT_EQ(event.find("\n\n"), event.size() - 2) << "one event";
  return Json::parse(event.substr(6));
}

TEST(ChatResponse, UsageIsToldInBothDialects) {
  const Json usage = Json::parse(completion_json(kId, answer()))["usage"];
  EXPECT_EQ(usage["prompt_tokens"], 10);
  EXPECT_EQ(usage["completion_tokens"], 5);
  EXPECT_EQ(usage["total_tokens"], 15);
  EXPECT_EQ(usage["prompt_tokens_details"]["cached_tokens"], 4);
  EXPECT_EQ(usage["completion_tokens_details"]["reasoning_tokens"], 3);
  EXPECT_EQ(usage["prompt_cache_hit_tokens"], 4);
  EXPECT_EQ(usage["prompt_cache_miss_tokens"], 6);
}

TEST(ChatResponse, ReasoningIsLeftOutWhenThereIsNone) {
  Completion plain = answer();
  plain.reasoning.clear();
  EXPECT_FALSE(Json::parse(completion_json(kId, plain))["choices"][0]["message"].contains("reasoning_content"));
  EXPECT_EQ(Json::parse(completion_json(kId, answer()))["choices"][0]["message"]["reasoning_content"], "hm");
}

TEST(ChatResponse, ReasoningComesBeforeTextInOneDelta) {
  const ChunkWriter writer(kId, UsageChunk::no);
  const std::string events = writer.delta({.reasoning = "r", .text = "t"});
  EXPECT_LT(events.find("reasoning_content"), events.find("\"content\""));
  EXPECT_EQ(writer.delta({}), "");
}

TEST(ChatResponse, LineBreaksInTextDoNotBreakEvents) {
  const Json chunk = data_of(ChunkWriter(kId, UsageChunk::no).delta({.reasoning = "", .text = "a\n\ndata: b\r\n\n"}));
  EXPECT_EQ(chunk["choices"][0]["delta"]["content"], "a\n\ndata: b\r\n\n");
}

TEST(ChatResponse, UsageChunkComesOnlyWhenWished) {
  const std::string with = ChunkWriter(kId, UsageChunk::yes).finish(answer());
  const std::string without = ChunkWriter(kId, UsageChunk::no).finish(answer());
  EXPECT_THAT(with, HasSubstr("\"choices\":[],\"usage\":{"));
  EXPECT_EQ(without.find("\"usage\""), std::string::npos);
  EXPECT_THAT(without, HasSubstr("\"decode_ms\":12.5"));
  EXPECT_TRUE(with.ends_with("data: [DONE]\n\n") && without.ends_with("data: [DONE]\n\n"));
}

TEST(ChatResponse, CancelledAnswerEndsWithAnErrorAndNotWithDone) {
  Completion cancelled = answer();
  cancelled.finish_reason = FinishReason::cancelled;
  const Json chunk = data_of(ChunkWriter(kId, UsageChunk::yes).finish(cancelled));
  EXPECT_EQ(chunk["error"]["code"], "cancelled");
  EXPECT_FALSE(is_answer(cancelled));
  EXPECT_EQ(error_of(cancelled).status, 503);
}

TEST(ChatResponse, AnswerOfCallsAloneHasNoContent) {
  Completion calls = answer();
  calls.text.clear();
  calls.finish_reason = FinishReason::tool_calls;
  calls.tool_calls = {{.index = 0, .name = "f", .arguments = "{}"}};
  const Json choice = Json::parse(completion_json(kId, calls))["choices"][0];
  EXPECT_TRUE(choice["message"]["content"].is_null());
  EXPECT_EQ(choice["message"]["tool_calls"][0]["id"], "call_1_0");
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_TRUE(is_answer(calls));
  EXPECT_FALSE(Json::parse(completion_json(kId, answer()))["choices"][0]["message"].contains("tool_calls"));
}

TEST(ChatResponse, FirstDeltaOfACallNamesItAndTheOthersAdd) {
  const ChunkWriter writer(kId, UsageChunk::no);
  const auto call_of = [&](const ToolCallDelta& call) {
    return data_of(
        writer.delta({.reasoning = "", .text = "", .tool_calls = {call}}))["choices"][0]["delta"]["tool_calls"][0];
  };
  EXPECT_EQ(call_of({.index = 1, .name = "f"}),
            Json::parse(R"({"index":1,"id":"call_1_1","type":"function","function":{"name":"f","arguments":""}})"));
  EXPECT_EQ(call_of({.index = 1, .arguments = "{"}), Json::parse(R"({"index":1,"function":{"arguments":"{"}})"));
}

TEST(ChatResponse, BrokenTextIsRepairedNotThrown) {
  EXPECT_THAT(ChunkWriter(kId, UsageChunk::no).delta({.reasoning = "", .text = "\xff"}), HasSubstr("\xEF\xBF\xBD"));
}

TEST(ChatResponse, IdsDiffer) {
  EXPECT_NE(new_answer_id("m").id, new_answer_id("m").id);
}

TEST(ChatResponse, ModelErrorsBecomeTheRightStatus) {
  EXPECT_EQ(from_model_error({ErrorKind::invalid, "prompt has 900 tokens; the context holds 512"}).code,
            "context_length_exceeded");
  EXPECT_EQ(from_model_error({ErrorKind::invalid, "messages[0]: unknown role"}).status, 400);
  EXPECT_EQ(from_model_error({ErrorKind::unsupported, "thinking: no such mode"}).code, "unsupported_value");
  EXPECT_EQ(from_model_error({ErrorKind::out_of_memory, "no pages"}).status, 503);
  EXPECT_EQ(from_model_error({ErrorKind::io, "disk"}).status, 500);
}

TEST(ChatResponse, ModelsNameWithContextInItIsNotALengthExceeded) {
  const ApiError error = from_model_error({ErrorKind::unsupported, "tools: long-context (smollm2) has no tool calls"});
  EXPECT_EQ(error.code, "unsupported_value");
  EXPECT_EQ(error.param, "tools");
}

TEST(ChatResponse, ErrorOfARunningGenerationIsNeverTheClients) {
  Completion completion = answer();
  completion.finish_reason = FinishReason::error;
  for (const ErrorKind kind : {ErrorKind::invalid, ErrorKind::unsupported, ErrorKind::io}) {
    completion.error = Error{kind, "abyss: the model computed logits that are no numbers"};
    const ApiError error = error_of(completion);
    EXPECT_EQ(error.status, 500);
    EXPECT_EQ(error.type, "server_error");
    EXPECT_EQ(error.code, "internal_error");
    EXPECT_EQ(error.param, "");
  }
  completion.error = Error{ErrorKind::out_of_memory, "no pages"};
  EXPECT_EQ(error_of(completion).status, 503);
}

TEST(ChatResponse, ModelErrorsNameTheFieldThatTheyBeginWith) {
  const auto param_of = [](const char* message) { return from_model_error({ErrorKind::invalid, message}).param; };
  EXPECT_EQ(param_of("top_p: expected above 0, found 0"), "top_p");
  EXPECT_EQ(param_of("messages[1].role: unknown"), "messages[1].role");
  EXPECT_EQ(param_of("prompt: expected some text, found none"), "messages");
  for (const char* other : {"", "no colon", "top_p", "message 0: expected UTF-8", "/models/abyss: broken"})
    EXPECT_EQ(param_of(other), "") << other;
}

}  // namespace
}  // namespace hadal
