#include "server/chat_request.h"

#include <gmock/gmock.h>

#include <fstream>
#include <string>
#include <vector>

#include "text/chat_messages.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const ServedModel kModel{.name = "abyss", .sampling = {}, .context_tokens = 512};

// A body with one user message and these fields.
std::string body_with(const std::string& fields) {
  return R"({"messages":[{"role":"user","content":"hi"}])" + (fields.empty() ? "" : "," + fields) + "}";
}

ChatRequest parsed(const std::string& body) {
  auto result = parse_chat_request(body, kModel);
  if (const auto* error = std::get_if<ApiError>(&result)) {
    ADD_FAILURE() << body << " -> " << error->message;
    return {};
  }
  return std::get<ChatRequest>(std::move(result));
}

ApiError refused(const std::string& body) {
  auto result = parse_chat_request(body, kModel);
  if (auto* error = std::get_if<ApiError>(&result)) return *error;
  ADD_FAILURE() << "accepted: " << body.substr(0, 200);
  return {};
}

TEST(ChatRequest, LeftOutFieldsAreTheModelsOwn) {
  const ChatRequest request = parsed(body_with(""));
  EXPECT_FALSE(request.stream);
  EXPECT_FALSE(request.include_usage);
  EXPECT_EQ(request.generation.sampling.temperature, kModel.sampling.temperature);
  EXPECT_FALSE(request.generation.sampling.seed);
  EXPECT_FALSE(request.generation.thinking);
  EXPECT_EQ(request.generation.max_tokens, 0);
  EXPECT_TRUE(request.generation.stop.empty());
}

TEST(ChatRequest, EveryFieldArrives) {
  const ChatRequest request = parsed(R"({"model":"abyss","messages":[
      {"role":"developer","content":"Be brief."},
      {"role":"user","content":[{"type":"text","text":"What "},{"type":"text","text":"is 2+2?"}],"name":"mia"},
      {"role":"assistant","content":"4","reasoning_content":"2+2=4"},
      {"role":"assistant","content":null},
      {"role":"user","content":"And 3+3?"}],
      "stream":true,"stream_options":{"include_usage":true},"temperature":0,"top_p":0.5,"top_k":7,"min_p":0.05,
      "seed":18446744073709551615,"max_tokens":99,"stop":["a","b"],"thinking":{"type":"disabled"},"n":1,
      "frequency_penalty":0,"tools":[],"tool_choice":"auto","response_format":{"type":"text"},"logprobs":false,
      "modalities":["text"],"user":"someone","metadata":{"a":[1]},"unheard_of":null})");
  const GenerationRequest& generation = request.generation;
  ASSERT_EQ(generation.messages.size(), 5u);
  EXPECT_EQ(generation.messages[0].role, "system");
  EXPECT_EQ(generation.messages[1].content, "What is 2+2?");
  EXPECT_EQ(generation.messages[2].reasoning_content, "2+2=4");
  EXPECT_EQ(generation.messages[3].content, "");
  EXPECT_EQ(generation.messages[3].content_kind, ChatMessage::Content::null);  // as `hadal render` has it
  EXPECT_TRUE(request.stream && request.include_usage);
  EXPECT_EQ(generation.sampling.temperature, 0);
  EXPECT_EQ(generation.sampling.top_p, 0.5);
  EXPECT_EQ(generation.sampling.top_k, 7);
  EXPECT_EQ(generation.sampling.min_p, 0.05);
  EXPECT_EQ(generation.sampling.seed, 18446744073709551615u);
  EXPECT_EQ(generation.max_tokens, 99);
  EXPECT_THAT(generation.stop, ElementsAre("a", "b"));
  EXPECT_EQ(generation.thinking, false);
}

// What a format makes of a content, it makes of it here and in `hadal render`.
TEST(ChatRequest, ContentsAreThoseOfRender) {
  const std::string messages = R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant"},{"role":"assistant","content":null},{"role":"user","content":[]},
      {"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]},
      {"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]}])";
  const auto here = parsed("{\"messages\":" + messages + "}").generation.messages;
  const auto there = read_messages(*OrderedJson::parse(messages, "messages"), "messages");
  ASSERT_TRUE(there.ok()) << there.error().message;
  ASSERT_EQ(here.size(), there->size());
  for (std::size_t i = 0; i < here.size(); ++i) {
    EXPECT_EQ(here[i].content, (*there)[i].content) << i;
    EXPECT_EQ(here[i].content_kind, (*there)[i].content_kind) << i;
  }
  EXPECT_EQ(here.back().content, "cd");
}

TEST(ChatRequest, SeedKeepsEveryDigitAndMayBeNegative) {
  EXPECT_EQ(parsed(body_with(R"("seed":9007199254740993)")).generation.sampling.seed, 9007199254740993u);
  EXPECT_EQ(parsed(body_with(R"("seed":-1)")).generation.sampling.seed, 18446744073709551615u);
  EXPECT_FALSE(parsed(body_with(R"("seed":null)")).generation.sampling.seed);
}

TEST(ChatRequest, BoundBeyondTheContextMeansAllThereIs) {
  EXPECT_EQ(parsed(body_with(R"("max_tokens":511)")).generation.max_tokens, 511);
  EXPECT_EQ(parsed(body_with(R"("max_tokens":32768)")).generation.max_tokens, 0);
  EXPECT_EQ(parsed(body_with(R"("max_tokens":32768,"max_completion_tokens":16)")).generation.max_tokens, 16);
  EXPECT_EQ(parsed(body_with(R"("max_completion_tokens":1e2)")).generation.max_tokens, 100);
}

TEST(ChatRequest, EffortOfNoneTurnsReasoningOffUnlessThinkingSaysOtherwise) {
  EXPECT_EQ(parsed(body_with(R"("reasoning_effort":"none")")).generation.thinking, false);
  EXPECT_FALSE(parsed(body_with(R"("reasoning_effort":"high")")).generation.thinking);
  EXPECT_EQ(parsed(body_with(R"("reasoning_effort":"none","thinking":{"type":"enabled"})")).generation.thinking, true);
}

TEST(ChatRequest, OneStopStringIsAListOfOne) {
  EXPECT_THAT(parsed(body_with(R"("stop":"END")")).generation.stop, ElementsAre("END"));
  EXPECT_TRUE(parsed(body_with(R"("stop":[])")).generation.stop.empty());
}

TEST(ChatRequest, ErrorsNameFieldExpectedAndFound) {
  const ApiError error = refused(body_with(R"("temperature":"hot")"));
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.param, "temperature");
  EXPECT_EQ(error.code, "invalid_type");
  EXPECT_EQ(error.message, "temperature: expected a number, found \"hot\"");
  EXPECT_EQ(refused(R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":7}]})").message,
            "messages[1].content: expected a string or an array of text parts, found 7");
  EXPECT_EQ(refused(body_with(R"("max_tokens":-1)")).message,
            "max_tokens: expected an integer from 1 to 2147483647, found -1");
  EXPECT_EQ(refused(body_with(R"("n":2)")).message, "n: expected 1, found 2");
  EXPECT_EQ(refused(body_with(R"("temprature":0)")).message,
            "temprature: expected a field of the chat completions API, found an unknown one");
}

// The most memory that this process has had at once since the last forget_peak().
std::size_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6)) << 10;
  return 0;
}
bool forget_peak() {
  std::ofstream refs("/proc/self/clear_refs");
  return static_cast<bool>(refs << "5" << std::flush);
}

// Measured: 0.25 of a message each, the JSON itself; 1.1 when the messages were made before they were looked at.
TEST(ChatRequest, ArrayOfJunkCostsNoMemoryForMessages) {
  constexpr std::size_t kJunk = 2'000'000;  // within the 4 MiB of a body
  std::string body = R"({"messages":[0)";
  for (std::size_t i = 1; i < kJunk; ++i) body += ",0";
  body += "]}";
  if (!forget_peak()) GTEST_SKIP() << "the system does not let the peak of memory be measured";
  const std::size_t before = peak_bytes();
  EXPECT_EQ(refused(body).param, "messages[0]");
  EXPECT_LT(static_cast<double>(peak_bytes() - before), 0.75 * kJunk * sizeof(ChatMessage));
}

struct Refusal {
  std::string body, param, code;
};

TEST(ChatRequest, TableOfRefusals) {
  const std::vector<Refusal> table{
      {"", "", "invalid_json"},
      {"[1,2", "", "invalid_json"},
      {"{\"messages\":[]} x", "", "invalid_json"},
      {R"({"messages":[],"messages":[]})", "", "invalid_json"},
      {R"({"a":"\ud800"})", "", "invalid_json"},
      {"{\"a\":\"\xc0\xaf\"}", "", "invalid_utf8"},
      {"{\"a\":1e999}", "", "invalid_json"},
      {"[]", "request body", "invalid_type"},
      {"null", "request body", "invalid_type"},
      {"{}", "messages", "missing_field"},
      {R"({"messages":null})", "messages", "missing_field"},
      {R"({"messages":{}})", "messages", "invalid_type"},
      {R"({"messages":[]})", "messages", "invalid_value"},
      {R"({"messages":["hi"]})", "messages[0]", "invalid_type"},
      {R"({"messages":[{"content":"hi"}]})", "messages[0].role", "missing_field"},
      {R"({"messages":[{"role":"king","content":"hi"}]})", "messages[0].role", "unsupported_value"},
      {R"({"messages":[{"role":"user"}]})", "messages[0].content", "missing_field"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})", "messages[0].content[0].type",
       "unsupported_value"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})", "messages[0].content[0].text", "missing_field"},
      {R"({"messages":[{"role":"user","content":["hi"]}]})", "messages[0].content[0]", "invalid_type"},
      {R"({"messages":[{"role":"assistant","content":"a","reasoning_content":1}]})", "messages[0].reasoning_content",
       "invalid_type"},
      {body_with(R"("model":5)"), "model", "invalid_type"},
      {body_with(R"("model":"gpt-4o")"), "model", "model_not_found"},
      {body_with(R"("temperature":-0.1)"), "temperature", "invalid_value"},
      {body_with(R"("temperature":2.1)"), "temperature", "invalid_value"},
      {body_with(R"("top_p":1.5)"), "top_p", "invalid_value"},
      {body_with(R"("top_k":-1)"), "top_k", "invalid_value"},
      {body_with(R"("top_k":1.5)"), "top_k", "invalid_type"},
      {body_with(R"("min_p":true)"), "min_p", "invalid_type"},
      {body_with(R"("seed":"x")"), "seed", "invalid_type"},
      {body_with(R"("seed":1e300)"), "seed", "invalid_value"},
      {body_with(R"("max_tokens":0)"), "max_tokens", "invalid_value"},
      {body_with(R"("max_tokens":99999999999999999999)"), "max_tokens", "invalid_value"},
      {body_with(R"("max_completion_tokens":"7")"), "max_completion_tokens", "invalid_type"},
      {body_with(R"("stop":7)"), "stop", "invalid_type"},
      {body_with(R"("stop":[7])"), "stop", "invalid_type"},
      {body_with(R"("stop":"")"), "stop", "invalid_value"},
      {body_with(R"("stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])"), "stop",
       "invalid_value"},
      {body_with(R"("n":2)"), "n", "invalid_value"},
      {body_with(R"("stream":"yes")"), "stream", "invalid_type"},
      {body_with(R"("stream_options":true)"), "stream_options", "invalid_type"},
      {body_with(R"("stream_options":{"include_usage":1})"), "stream_options.include_usage", "invalid_type"},
      {body_with(R"("thinking":true)"), "thinking", "invalid_type"},
      {body_with(R"("thinking":{})"), "thinking.type", "invalid_value"},
      {body_with(R"("thinking":{"type":"maybe"})"), "thinking.type", "invalid_value"},
      {body_with(R"("logit_bias":{"5":1})"), "logit_bias", "unsupported_parameter"},
      {body_with(R"("frequency_penalty":0.5)"), "frequency_penalty", "unsupported_parameter"},
      {body_with(R"("logprobs":true)"), "logprobs", "unsupported_parameter"},
      {body_with(R"("response_format":{"type":"json_object"})"), "response_format", "unsupported_parameter"},
      {body_with(R"("response_format":"json")"), "response_format", "invalid_type"},
      {body_with(R"("function_call":{"name":"f"})"), "function_call", "unsupported_parameter"},
      {body_with(R"("top_logprobs":5)"), "top_logprobs", "unsupported_parameter"},
      {body_with(R"("modalities":["text","audio"])"), "modalities", "unsupported_parameter"},
      {body_with(R"("reasoning_effort":"heroic")"), "reasoning_effort", "invalid_value"},
      {body_with(R"("reasoning_effort":1)"), "reasoning_effort", "invalid_type"},
      {body_with(R"("unheard_of":{"a":[1]})"), "unheard_of", "unknown_parameter"},
      {body_with(R"("a\nb":1)"), "a?b", "unknown_parameter"},
  };
  for (const Refusal& row : table) {
    const ApiError error = refused(row.body);
    SCOPED_TRACE(row.body + " -> " + error.message);
    EXPECT_EQ(error.param, row.param);
    EXPECT_EQ(error.code, row.code);
    EXPECT_EQ(error.status, row.code == "model_not_found" ? 404 : 400);
    EXPECT_LT(error.message.size(), 250u);
  }
}

TEST(ChatRequest, DeepNestingIsRefusedBeforeItIsParsed) {
  const std::string deep(200'000, '[');
  EXPECT_THAT(refused(R"({"messages":)" + deep).message, HasSubstr("nested"));
  EXPECT_THAT(refused(deep).message, HasSubstr("nested"));
  // Brackets in text are no nesting, behind an escaped quote too.
  const ChatRequest request = parsed(R"({"messages":[{"role":"user","content":"\\\")" + deep + R"("}]})");
  EXPECT_EQ(request.generation.messages[0].content.size(), deep.size() + 2);
}

TEST(ChatRequest, TextArrivesByteForByte) {
  const std::string text = "Grüße, 深海 \xF0\x9F\x90\x9F <|im_start|>";
  EXPECT_EQ(parsed(R"({"messages":[{"role":"user","content":")" + text + R"("}]})").generation.messages[0].content,
            text);
  EXPECT_EQ(parsed(R"({"messages":[{"role":"user","content":"\u0000\ud83d\udc1f"}]})").generation.messages[0].content,
            std::string("\0\xF0\x9F\x90\x9F", 5));
}

}  // namespace
}  // namespace hadal
