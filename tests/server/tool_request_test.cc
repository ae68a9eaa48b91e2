// Tools in the body of a request: what arrives, in which order, and what is refused by name.
#include "server/tool_request.h"

#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <vector>

#include "server/chat_request.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;

const ServedModel kModel{.name = "abyss", .sampling = {}, .context_tokens = 512};
constexpr const char* kUser = R"({"role":"user","content":"hi"})";

std::string body(const std::string& messages, const std::string& fields = {}) {
  return "{\"messages\":[" + messages + "]" + (fields.empty() ? "" : "," + fields) + "}";
}

GenerationRequest parsed(const std::string& text) {
  auto result = parse_chat_request(text, kModel);
  if (const auto* error = std::get_if<ApiError>(&result)) {
    ADD_FAILURE() << text << " -> " << error->message;
    return {};
  }
  return std::get<ChatRequest>(std::move(result)).generation;
}

ApiError refused(const std::string& text) {
  auto result = parse_chat_request(text, kModel);
  if (auto* error = std::get_if<ApiError>(&result)) return *error;
  ADD_FAILURE() << "accepted: " << text.substr(0, 200);
  return {};
}

// Two calls, and their results in the other order.
constexpr const char* kCalls =
    R"({"role":"assistant","content":null,"tool_calls":[
        {"id":"a","type":"function","function":{"name":"f","arguments":"{\"z\":1,\"a\":2.0}"}},
        {"id":"b","type":"function","function":{"name":"g","arguments":"no JSON"}}]})";
constexpr const char* kResults =
    R"({"role":"tool","tool_call_id":"b","content":"of b"},
       {"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"of a"}]})";

std::string with_round(const std::string& calls, const std::string& results) {
  return body(std::string(kUser) + "," + calls + (results.empty() ? "" : "," + results));
}

TEST(ToolRequest, DefinitionsKeepTheOrderOfTheirKeys) {
  const GenerationRequest request = parsed(body(
      kUser, R"("tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"z":1.0,"a":{}}}}])"));
  ASSERT_TRUE(request.tools);
  EXPECT_EQ(request.tools->dump(),
            R"([{"type": "function", "function": {"name": "f", "strict": true, "parameters": {"z": 1.0, "a": {}}}}])");
  EXPECT_EQ(request.tool_choice, ToolChoice::automatic);
}

TEST(ToolRequest, ChoiceOfNoneIsKeptAndEmptyListsAreNoTools) {
  EXPECT_EQ(parsed(body(kUser, R"("tool_choice":"none")")).tool_choice, ToolChoice::none);
  EXPECT_EQ(parsed(body(kUser, R"("tool_choice":"auto","tools":[])")).tool_choice, ToolChoice::automatic);
  EXPECT_FALSE(parsed(body(kUser, R"("tools":[])")).tools);
  EXPECT_FALSE(parsed(body(kUser, R"("tools":null)")).tools);
}

TEST(ToolRequest, CallsThatAreNotParallelAreOneAnAnswer) {
  EXPECT_EQ(parsed(body(kUser, R"("parallel_tool_calls":false)")).call_count, CallCount::one);
  for (const char* value : {"true", "null"})
    EXPECT_EQ(parsed(body(kUser, std::string("\"parallel_tool_calls\":") + value)).call_count, CallCount::any) << value;
  EXPECT_EQ(parsed(body(kUser)).call_count, CallCount::any);
}

TEST(ToolRequest, CallsArriveAsObjectAndAsTheTextTheyWere) {
  const auto messages = parsed(with_round(kCalls, kResults)).messages;
  ASSERT_EQ(messages.size(), 4u);
  ASSERT_TRUE(messages[1].calls_tools());
  const std::vector<ToolCall>& calls = *messages[1].tool_calls;
  EXPECT_EQ(calls[0].name, "f");
  EXPECT_EQ(calls[0].arguments_text, R"({"z":1,"a":2.0})");
  EXPECT_EQ(calls[0].arguments.dump(), R"({"z": 1, "a": 2.0})");
  EXPECT_EQ(calls[1].arguments.dump(), R"("no JSON")");
}

TEST(ToolRequest, ResultsComeInTheOrderOfTheirCalls) {
  const auto messages = parsed(with_round(kCalls, kResults)).messages;
  EXPECT_EQ(messages[2].content, "of a");
  EXPECT_EQ(messages[2].tool_call_id, "a");
  EXPECT_EQ(messages[3].content, "of b");
}

TEST(ToolRequest, ResultsAndCallsMustFitTogether) {
  EXPECT_EQ(refused(body(R"({"role":"tool","tool_call_id":"a","content":"r"})")).param, "messages[0].role");
  EXPECT_EQ(refused(with_round(kUser, R"({"role":"tool","tool_call_id":"a","content":"r"})")).param,
            "messages[2].role");
  const ApiError unknown = refused(with_round(
      kCalls, R"({"role":"tool","tool_call_id":"a","content":"r"},{"role":"tool","tool_call_id":"c","content":"r"})"));
  EXPECT_EQ(unknown.message, "messages[3].tool_call_id: expected the id of a call in messages[1], found \"c\"");
  EXPECT_THAT(refused(with_round(kCalls, R"({"role":"tool","tool_call_id":"a","content":"r"})")).message,
              HasSubstr("for each of 2 calls, found 1"));
  EXPECT_THAT(refused(with_round(kCalls, "")).message, HasSubstr("for each of 2 calls, found 0"));
  EXPECT_THAT(refused(with_round(kCalls, R"({"role":"tool","tool_call_id":"a","content":"r"},
                                            {"role":"tool","tool_call_id":"a","content":"r"})"))
                  .message,
              HasSubstr("two of them for one call"));
}

// Measured: 5 ms; 2.7 s when each look at a result searched all the calls.
TEST(ToolRequest, ThousandsOfResultsAreOrderedInAMoment) {
  constexpr std::size_t kMany = 10'000;
  std::vector<ChatMessage> messages(1 + kMany);
  messages[0].role = "assistant";
  messages[0].tool_calls.emplace(kMany);
  for (std::size_t i = 0; i < kMany; ++i) {
    (*messages[0].tool_calls)[i].id = "call_of_a_round_" + std::to_string(i);
    messages[kMany - i] = {.role = "tool", .content = "", .reasoning_content = ""};
    messages[kMany - i].tool_call_id = "call_of_a_round_" + std::to_string(i);
  }
  std::optional<ApiError> error;
  const auto begin = std::chrono::steady_clock::now();
  order_results(messages, error);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  ASSERT_FALSE(error);
  for (std::size_t i = 0; i < kMany; ++i) EXPECT_EQ(messages[1 + i].tool_call_id, (*messages[0].tool_calls)[i].id);
}

TEST(ToolRequest, FirstBadCallEndsTheList) {
  const Json message{{"tool_calls", std::vector<int>(1000, 5)}};
  std::optional<ApiError> error;
  Fields fields(message, "messages[0].", error);
  ChatMessage read;
  read_tool_calls(fields, error, read);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->param, "messages[0].tool_calls[0]");
  EXPECT_EQ(read.tool_calls->size(), 1u);
}

struct Refusal {
  std::string body, param, code;
};

TEST(ToolRequest, TableOfRefusals) {
  const auto tools = [](const std::string& list) { return body(kUser, "\"tools\":" + list); };
  const auto calls = [](const std::string& list) {
    return body(std::string(kUser) + R"(,{"role":"assistant","content":"","tool_calls":)" + list + "}");
  };
  const std::vector<Refusal> table{
      {tools("{}"), "tools", "invalid_type"},
      {tools("[5]"), "tools[0]", "invalid_type"},
      {tools(R"([{"type":"retrieval"}])"), "tools[0].type", "unsupported_value"},
      {tools(R"([{"type":"function"}])"), "tools[0].function", "missing_field"},
      {tools(R"([{"function":[]}])"), "tools[0].function", "invalid_type"},
      {tools(R"([{"function":{}}])"), "tools[0].function.name", "missing_field"},
      {tools(R"([{"function":{"name":"a b"}}])"), "tools[0].function.name", "invalid_value"},
      {tools(R"([{"function":{"name":"f\n### g"}}])"), "tools[0].function.name", "invalid_value"},
      {tools(R"([{"function":{"name":")" + std::string(65, 'x') + R"("}}])"), "tools[0].function.name",
       "invalid_value"},
      {tools(R"([{"function":{"name":"f"}},{"function":{"name":"g","description":5}}])"),
       "tools[1].function.description", "invalid_type"},
      {tools(R"([{"function":{"name":"f","parameters":"x"}}])"), "tools[0].function.parameters", "invalid_type"},
      {body(kUser, R"("tool_choice":"required")"), "tool_choice", "unsupported_value"},
      {body(kUser, R"("tool_choice":{"type":"function","function":{"name":"f"}})"), "tool_choice", "unsupported_value"},
      {body(kUser, R"("parallel_tool_calls":"no")"), "parallel_tool_calls", "invalid_type"},
      {calls("5"), "messages[1].tool_calls", "invalid_type"},
      {calls("[5]"), "messages[1].tool_calls[0]", "invalid_type"},
      {calls("[{}]"), "messages[1].tool_calls[0].id", "missing_field"},
      {calls(R"([{"id":"a"}])"), "messages[1].tool_calls[0].function", "missing_field"},
      {calls(R"([{"id":"a","function":5}])"), "messages[1].tool_calls[0].function", "invalid_type"},
      {calls(R"([{"id":"a","function":{"arguments":"{}"}}])"), "messages[1].tool_calls[0].function.name",
       "missing_field"},
      {calls(R"([{"id":"a","function":{"name":"","arguments":"{}"}}])"), "messages[1].tool_calls[0].function.name",
       "invalid_value"},
      {calls(R"([{"id":"a","function":{"name":"f","arguments":{}}}])"), "messages[1].tool_calls[0].function.arguments",
       "invalid_type"},
      {with_round(kCalls, R"({"role":"tool","content":"r"})"), "messages[2].tool_call_id", "missing_field"},
      {with_round(kCalls, R"({"role":"tool","tool_call_id":"a"})"), "messages[2].content", "missing_field"},
  };
  for (const Refusal& row : table) {
    const ApiError error = refused(row.body);
    SCOPED_TRACE(row.body + " -> " + error.message);
    EXPECT_EQ(error.param, row.param);
    EXPECT_EQ(error.code, row.code);
    EXPECT_EQ(error.status, 400);
  }
}

}  // namespace
}  // namespace hadal
