// One client after the other: answers, errors, keys, and HTTP itself, over a real socket.
#include "server/server.h"

#include <gmock/gmock.h>

#include <thread>

#include "base/json.h"
#include "server/server_fixture.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;

constexpr const char* kReasoning = "The user asks something. Let me see.";
constexpr const char* kAnswer = "The answer is **42**.";

Json json_of(const HttpResponse& response) {
  return Json::parse(response.body, nullptr, /*allow_exceptions=*/false);
}

TEST(Server, WholeAnswerHasTextReasoningAndUsage) {
  RunningServer server;
  const HttpResponse response = server.ask(post_chat(kAsk));
  ASSERT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("content-type"), "application/json");
  const Json json = json_of(response);
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["model"], "fake");
  const Json& choice = json["choices"][0];
  EXPECT_EQ(choice["message"]["content"], kAnswer);
  EXPECT_EQ(choice["message"]["reasoning_content"], kReasoning);
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(json["usage"]["completion_tokens"], 11);
  EXPECT_EQ(json["usage"]["completion_tokens_details"]["reasoning_tokens"], 7);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], json["usage"]["prompt_cache_hit_tokens"]);
  EXPECT_TRUE(is_idle(server.model));
}

TEST(Server, StreamedPiecesMakeTheWholeAnswer) {
  RunningServer server;
  const HttpResponse response = server.ask(post_chat(kAskStream));
  ASSERT_EQ(response.status, 200);
  EXPECT_THAT(response.headers.at("content-type"), HasSubstr("text/event-stream"));
  const std::vector<std::string> events = response.events();
  ASSERT_GE(events.size(), 4u);
  EXPECT_EQ(events.back(), "[DONE]");

  std::string reasoning, text, finish;
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    const Json chunk = Json::parse(events[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    if (chunk["choices"].empty()) {
      EXPECT_EQ(i + 2, events.size()) << "the usage comes last";
      EXPECT_EQ(chunk["usage"]["completion_tokens"], 11);
      continue;
    }
    const Json& choice = chunk["choices"][0];
    EXPECT_TRUE(text.empty() || !choice["delta"].contains("reasoning_content")) << "reasoning after the answer began";
    reasoning += choice["delta"].value("reasoning_content", "");
    text += choice["delta"].value("content", "");
    if (choice["finish_reason"].is_string()) finish = choice["finish_reason"];
  }
  EXPECT_EQ(reasoning, kReasoning);
  EXPECT_EQ(text, kAnswer);
  EXPECT_EQ(finish, "stop");
}

TEST(Server, TextIsSentAsItIsMade) {
  RunningServer server({.pace = std::chrono::milliseconds(5), .more_words = 100'000});
  HttpClient client = server.client();
  client.send(post_chat(kAskStream));
  std::string seen;
  while (seen.find("word") == std::string::npos) {
    const std::string bytes = client.read_some();
    ASSERT_FALSE(bytes.empty());
    seen += bytes;
  }
  EXPECT_EQ(seen.find("[DONE]"), std::string::npos);
}

TEST(Server, MaxTokensEndsWithLength) {
  RunningServer server;
  const HttpResponse response =
      server.ask(post_chat(R"({"messages":[{"role":"user","content":"Go on"}],"max_tokens":9})"));
  EXPECT_EQ(json_of(response)["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(json_of(response)["usage"]["completion_tokens"], 9);
}

TEST(Server, FailureOfTheModelIsAnError) {
  RunningServer server({.fails = true});
  const HttpResponse whole = server.ask(post_chat(kAsk));
  EXPECT_EQ(whole.status, 500);
  EXPECT_THAT(whole.body, HasSubstr("the fake model fails"));
  const std::vector<std::string> events = server.ask(post_chat(kAskStream)).events();
  ASSERT_FALSE(events.empty());
  EXPECT_THAT(events.back(), HasSubstr(R"("error":{"message":"the fake model fails)"));
}

struct BadRequest {
  std::string request;
  int status;
  std::string param, code;
};

TEST(Server, BadRequestsGetTheErrorObjectAndTheRightStatus) {
  RunningServer server({.context_tokens = 100}, {.max_body_bytes = 2000});
  const std::string long_prompt = R"({"messages":[{"role":"user","content":")" + std::string(500, 'a') + R"("}]})";
  const std::vector<BadRequest> table{
      {post_chat("{"), 400, "", "invalid_json"},
      {post_chat("{\"messages\":\"\xff\"}"), 400, "", "invalid_utf8"},
      {post_chat(R"({"messages":"hi"})"), 400, "messages", "invalid_type"},
      {post_chat(R"({"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]})"), 404, "model", "model_not_found"},
      {post_chat(long_prompt), 400, "messages", "context_length_exceeded"},
      {post_chat(std::string(3000, ' ')), 413, "", "body_too_large"},
      {get("/v1/nothing"), 404, "", "unknown_path"},
      {get("/v1/models/gpt-4o"), 404, "model", "model_not_found"},
      {get("/v1/chat/completions"), 405, "", "method_not_allowed"},
      {"DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "", "method_not_allowed"},
      {"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "", "forbidden_host"},
      {get("/health", "X: " + std::string(20'000, 'x') + "\r\n"), 431, "", "head_too_large"},
      {"nonsense\r\n\r\n", 400, "", "invalid_http"},
      {"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400, "", "invalid_http"},
      {"GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "", "invalid_http"},
      {"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: "
       "2\r\n\r\n{}",
       415, "", "unsupported_media_type"},
      {"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400, "", "invalid_http"},
  };
  for (const BadRequest& bad : table) {
    const HttpResponse response = server.ask(bad.request);
    SCOPED_TRACE(bad.request.substr(0, 80) + " -> " + response.body);
    EXPECT_EQ(response.status, bad.status);
    const Json json = json_of(response);
    ASSERT_TRUE(json.is_object());
    const Json& error = json["error"];
    EXPECT_FALSE(error["message"].get<std::string>().empty());
    EXPECT_EQ(error["message"].get<std::string>().find('\n'), std::string::npos);
    EXPECT_TRUE(error["type"].is_string());
    EXPECT_EQ(error["param"], bad.param.empty() ? Json() : Json(bad.param));
    EXPECT_EQ(error["code"], bad.code);
  }
  EXPECT_TRUE(is_idle(server.model));
}

// One reader would take what follows for a body and another for a request: a request that came unseen through a proxy.
TEST(Server, RequestWhoseEndIsAQuestionIsRefusedAndWhatFollowsIsNotRead) {
  RunningServer server;
  for (const std::string fields :
       {"Transfer-Encoding: gzip\r\n", "Transfer-Encoding: chunked, gzip\r\n", "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding:\r\n", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"}) {
    SCOPED_TRACE(fields);
    HttpClient client = server.client();
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n0\r\n\r\n" +
                get("/health"));
    const auto response = client.read_response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 400);
    EXPECT_EQ(json_of(*response)["error"]["code"], "invalid_http");
    EXPECT_FALSE(client.read_response()) << "what followed was answered";
  }
}

TEST(Server, KeyIsAskedForWhereItMatters) {
  RunningServer server({}, {.api_keys = {"abyssal", "second"}});
  EXPECT_EQ(server.ask(post_chat(kAsk)).status, 401);
  EXPECT_EQ(server.ask(post_chat(kAsk, "Authorization: Bearer wrong\r\n")).status, 401);
  EXPECT_EQ(server.ask(post_chat(kAsk, "Authorization: Bearer abyssal\r\n")).status, 200);
  EXPECT_EQ(server.ask(post_chat(kAsk, "authorization: bearer second\r\n")).status, 200);
  EXPECT_EQ(server.ask(get("/v1/models")).status, 401);
  EXPECT_EQ(server.ask(get("/metrics")).status, 401);
  EXPECT_EQ(server.ask(get("/unknown")).status, 401) << "strangers do not learn which paths exist";
  EXPECT_EQ(server.ask(get("/")).status, 200) << "the page asks for the key itself";
  const Json health = json_of(server.ask(get("/health")));
  EXPECT_EQ(health["key_required"], true);
  EXPECT_FALSE(health.contains("active_sequences"));
}

TEST(Server, PageComesWithAStrictPolicyAndIsNotSentTwice) {
  RunningServer server;
  const HttpResponse page = server.ask(get("/"));
  ASSERT_EQ(page.status, 200);
  EXPECT_THAT(page.body, HasSubstr("<title>hadal</title>"));
  EXPECT_THAT(page.headers.at("content-security-policy"), HasSubstr("default-src 'none'"));
  EXPECT_EQ(page.headers.count("access-control-allow-origin"), 0u);
  const HttpResponse again = server.ask(get("/", "If-None-Match: " + page.headers.at("etag") + "\r\n"));
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
}

TEST(Server, ConnectionIsKeptAndRequestsSentAheadAreAnsweredInOrder) {
  RunningServer server;
  HttpClient client = server.client();
  client.send(post_chat(kAskStream) + get("/health") + post_chat(kAsk) + get("/v1/models"));
  const auto stream = client.read_response(), health = client.read_response(), whole = client.read_response(),
             models = client.read_response();
  ASSERT_TRUE(stream && health && whole && models);
  EXPECT_EQ(stream->events().back(), "[DONE]");
  EXPECT_EQ(json_of(*health)["status"], "ok");
  EXPECT_EQ(json_of(*whole)["object"], "chat.completion");
  EXPECT_EQ(json_of(*models)["data"][0]["id"], "fake");
}

TEST(Server, EmptyLinesBeforeARequestAreNoPartOfIt) {
  RunningServer server;
  HttpClient client = server.client();
  client.send("\r\n\r\n" + post_chat(kAsk) + "\r\n");
  const auto first = client.read_response();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->status, 200);
  client.send("\r");
  std::this_thread::sleep_for(std::chrono::milliseconds(5));  // so that half a line is read by itself
  client.send("\n" + get("/health"));
  const auto second = client.read_response();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->status, 200);
}

TEST(Server, AbsoluteTargetIsUnderstood) {
  RunningServer server;
  EXPECT_EQ(server.ask(get("http://localhost/health")).status, 200);
}

TEST(Server, RequestInSmallPiecesIsUnderstood) {
  RunningServer server;
  HttpClient client = server.client();
  for (const char c : post_chat(kAsk)) client.send(std::string_view(&c, 1));
  const auto response = client.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
}

TEST(Server, ChunkedBodyAndExpectationAreUnderstood) {
  RunningServer server;
  HttpClient client = server.client();
  client.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
      "Expect: 100-continue\r\n\r\n");
  const auto go_on = client.read_response();
  ASSERT_TRUE(go_on);
  EXPECT_EQ(go_on->status, 100);
  const std::string body = kAsk;
  client.send("5\r\n" + body.substr(0, 5) + "\r\n");
  char size[16];
  std::snprintf(size, sizeof size, "%zx", body.size() - 5);
  client.send(size + std::string("\r\n") + body.substr(5) + "\r\n0\r\n\r\n");
  const auto response = client.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
}

TEST(Server, OldHttpEndsStreamsByClosing) {
  RunningServer server;
  HttpClient client = server.client();
  const std::string body = kAskStream;
  client.send("POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  const auto response = client.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->headers.count("transfer-encoding"), 0u);
  EXPECT_EQ(response->events().back(), "[DONE]");
}

TEST(Server, HeadHasNoBodyAndHalfClosedClientsStillRead) {
  RunningServer server;
  HttpClient client = server.client();
  client.send("HEAD /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  client.half_close();
  const std::string text = client.read_some();
  EXPECT_THAT(text, HasSubstr("200 OK"));
  EXPECT_TRUE(text.ends_with("\r\n\r\n"));
}

TEST(Server, MetricsCountWhatHappened) {
  RunningServer server;
  server.ask(post_chat(kAsk));
  server.ask(post_chat(kAskStream));
  server.ask(post_chat("{"));
  const HttpResponse metrics = server.ask(get("/metrics"));
  EXPECT_THAT(metrics.headers.at("content-type"), HasSubstr("version=0.0.4"));
  EXPECT_THAT(metrics.body, HasSubstr("hadal_responses_total{route=\"/v1/chat/completions\",status=\"200\"} 2\n"));
  EXPECT_THAT(metrics.body, HasSubstr("hadal_responses_total{route=\"/v1/chat/completions\",status=\"400\"} 1\n"));
  EXPECT_THAT(metrics.body, HasSubstr("hadal_answers_total{end=\"finished\"} 2\n"));
  EXPECT_THAT(metrics.body, HasSubstr("hadal_sequences_active 0\n"));
  EXPECT_THAT(metrics.body, HasSubstr("hadal_first_token_seconds_count 1\n"));
}

}  // namespace
}  // namespace hadal
