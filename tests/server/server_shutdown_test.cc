// Starting and ending: what refuses to start, and what happens to answers at the end.
#include <gmock/gmock.h>

#include <csignal>

#include "server/server.h"
#include "server/server_fixture.h"

namespace hadal {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refusal_of(ServerOptions options) {
  FakeModel model;
  options.on_listening = [](const ServerAddress&) { ADD_FAILURE() << "it started"; };
  std::stop_source stop;
  stop.request_stop();  // should it start after all
  const Status status = run_server(model, options, stop.get_token());
  return status.ok() ? "started" : status.error().message;
}

TEST(ServerStart, OccupiedPortIsOneClearError) {
  RunningServer first;
  EXPECT_THAT(refusal_of({.port = first.port()}),
              AllOf(HasSubstr("port " + std::to_string(first.port())), HasSubstr("another program uses")));
}

TEST(ServerStart, HostBeyondThisMachineNeedsAKey) {
  for (const char* host : {"0.0.0.0", "::", "192.0.2.7"})
    EXPECT_THAT(refusal_of({.host = host, .port = 0}), AllOf(HasSubstr(host), HasSubstr("API key")));
  EXPECT_THAT(refusal_of({.port = 0, .api_keys = {""}}), HasSubstr("API key"));
}

TEST(ServerStart, UnusableHostsAndPortsAreNamed) {
  EXPECT_THAT(refusal_of({.host = "no such host", .port = 0}), HasSubstr("no such host"));
  EXPECT_THAT(refusal_of({.port = 70'000}), HasSubstr("70000"));
}

TEST(ServerShutdown, IdleServerEndsAtOnceWithItsClients) {
  RunningServer server;
  HttpClient idle = server.client();
  idle.send(get("/health"));
  ASSERT_TRUE(idle.read_response());
  server.request_stop();
  EXPECT_TRUE(server.wait_for_end());
  EXPECT_TRUE(idle.reached_end());
  EXPECT_FALSE(server.client().connected());
}

TEST(ServerShutdown, RunningAnswersMayFinish) {
  RunningServer server({.pace = milliseconds(10)});
  HttpClient stream = server.client(), whole = server.client();
  stream.send(post_chat(kAskStream));
  whole.send(post_chat(kAsk));
  ASSERT_TRUE(becomes_true([&] { return server.model.stats().active_sequences == 2; }));
  server.request_stop();
  const auto streamed = stream.read_response(), answered = whole.read_response();
  ASSERT_TRUE(streamed && answered);
  EXPECT_EQ(streamed->events().back(), "[DONE]");
  EXPECT_EQ(answered->status, 200);
  EXPECT_EQ(answered->headers.at("connection"), "close");
  EXPECT_TRUE(server.wait_for_end());
}

TEST(ServerShutdown, LongAnswersAreCancelledAndToldSo) {
  RunningServer server({.pace = milliseconds(1), .more_words = 1'000'000}, {.grace = milliseconds(50)});
  HttpClient stream = server.client(), whole = server.client();
  stream.send(post_chat(kAskStream));
  whole.send(post_chat(kAsk));
  ASSERT_TRUE(becomes_true([&] { return server.model.stats().active_sequences == 2; }));
  server.request_stop();
  const auto streamed = stream.read_response(), answered = whole.read_response();
  ASSERT_TRUE(streamed && answered);
  EXPECT_THAT(streamed->events().back(), HasSubstr("shutting down"));
  EXPECT_EQ(answered->status, 503);
  EXPECT_TRUE(server.wait_for_end());
  EXPECT_TRUE(is_idle(server.model));
}

TEST(ServerShutdown, SignalEndsTheServer) {
  FakeModel model;
  ServerOptions options{.port = 0};
  options.on_listening = [](const ServerAddress&) { std::raise(SIGTERM); };
  EXPECT_TRUE(run_server(model, options).ok());
}

}  // namespace
}  // namespace hadal
