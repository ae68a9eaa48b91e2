// Tool calls over a real socket: whole, and streamed as OpenAI's clients read them.
#include <gmock/gmock.h>

#include "base/json.h"
#include "server/server_fixture.h"

namespace hadal {
namespace {

FakeScript calling_script() {
  FakeScript script;
  script.others = {{.asked = "weather",
                    .answer = {"Let me ", "look."},
                    .calls = {{.index = 0, .name = "get_weather", .arguments = "{\"city\": "},
                              {.index = 0, .arguments = "\"Oslo\"}"},
                              {.index = 1, .name = "noop"},
                              {.index = 1, .arguments = "{}"}}}};
  return script;
}

std::string question(const char* more) {
  return R"({"messages":[{"role":"user","content":"the weather?"}],
             "tools":[{"type":"function","function":{"name":"get_weather"}}])" +
         std::string(more) + "}";
}

TEST(ServerTools, WholeAnswerHasItsCalls) {
  RunningServer server(calling_script());
  const HttpResponse response = server.ask(post_chat(question("")));
  ASSERT_EQ(response.status, 200);
  const Json choice = Json::parse(response.body)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], "Let me look.");
  const Json& calls = choice["message"]["tool_calls"];
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0]["type"], "function");
  EXPECT_EQ(calls[0]["function"], (Json{{"name", "get_weather"}, {"arguments", "{\"city\": \"Oslo\"}"}}));
  EXPECT_EQ(calls[1]["function"]["name"], "noop");
  EXPECT_NE(calls[0]["id"], calls[1]["id"]);
  EXPECT_EQ(server.model.last_request().tools->items().size(), 1u);
}

TEST(ServerTools, StreamedDeltasMakeTheSameCalls) {
  RunningServer server(calling_script());
  const HttpResponse response = server.ask(post_chat(question(R"(,"stream":true)")));
  ASSERT_EQ(response.status, 200);
  std::vector<Json> calls;
  std::string text, finish;
  for (const std::string& event : response.events()) {
    if (event == "[DONE]") break;
    const Json choice = Json::parse(event)["choices"][0];
    text += choice["delta"].value("content", "");
    if (choice["finish_reason"].is_string()) finish = choice["finish_reason"];
    for (const Json& delta : choice["delta"].value("tool_calls", Json::array())) {
      const auto index = delta["index"].get<std::size_t>();
      if (delta.contains("id")) {
        EXPECT_EQ(index, calls.size());
        EXPECT_EQ(delta["type"], "function");
        calls.push_back(delta);
      } else {
        ASSERT_LT(index, calls.size());
        EXPECT_FALSE(delta["function"].contains("name"));
        std::string& arguments = calls[index]["function"]["arguments"].get_ref<std::string&>();
        arguments += delta["function"]["arguments"].get<std::string>();
      }
    }
  }
  EXPECT_EQ(text, "Let me look.");
  EXPECT_EQ(finish, "tool_calls");
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0]["function"], (Json{{"name", "get_weather"}, {"arguments", "{\"city\": \"Oslo\"}"}}));
  EXPECT_EQ(calls[1]["function"], (Json{{"name", "noop"}, {"arguments", "{}"}}));
}

TEST(ServerTools, AnswerOfTheClientGoesBackToTheModel) {
  RunningServer server(calling_script());
  const HttpResponse first = server.ask(post_chat(question("")));
  Json body = Json::parse(question(""));
  body["messages"].push_back(Json::parse(first.body)["choices"][0]["message"]);
  for (const Json& call : body["messages"][1]["tool_calls"])
    body["messages"].push_back({{"role", "tool"}, {"tool_call_id", call["id"]}, {"content", "sun"}});
  ASSERT_EQ(server.ask(post_chat(body.dump())).status, 200);
  const std::vector<ChatMessage> messages = server.model.last_request().messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[1].tool_calls->at(0).arguments_text, "{\"city\": \"Oslo\"}");
  EXPECT_EQ(messages[3].content, "sun");
}

}  // namespace
}  // namespace hadal
