// Many clients, and clients that behave badly: nothing they do may be left behind or slow down the others.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/json.h"
#include "server/server.h"
#include "server/server_fixture.h"

namespace hadal {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

TEST(ServerClients, SixtyFourAtOnceAllGetWholeAnswers) {
  RunningServer server({.pace = milliseconds(1), .max_active = 16});
  std::atomic<int> whole = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 64; ++i) {
      threads.emplace_back([&, i] {
        HttpClient client = server.client();  // kept for three questions
        for (int question = 0; question < 3; ++question) {
          const bool stream = (i + question) % 2 == 0;
          client.send(post_chat(stream ? kAskStream : kAsk));
          const auto response = client.read_response();
          if (response) whole += response->body.find(stream ? "data: [DONE]\n\n" : "**42**.") != std::string::npos;
        }
      });
    }
  }
  EXPECT_EQ(whole, 64 * 3);
  EXPECT_TRUE(is_idle(server.model));
}

TEST(ServerClients, TwoHundredThatVanishLeaveNothingBehind) {
  RunningServer server({.pace = milliseconds(5), .more_words = 1'000'000, .max_active = 32});
  for (int round = 0; round < 4; ++round) {
    std::vector<HttpClient> clients;
    for (int i = 0; i < 50; ++i) {
      clients.push_back(server.client());
      ASSERT_TRUE(clients.back().connected());
      // Some stream, some wait for a whole answer, some are still queued (50 > 32), some stop within their request.
      const std::string request = post_chat(i % 3 == 0 ? kAsk : kAskStream);
      clients.back().send(i % 7 == 0 ? request.substr(0, request.size() / 2) : request);
    }
    EXPECT_TRUE(becomes_true([&] { return server.model.stats().active_sequences == 32; }));
    for (std::size_t i = 0; i < clients.size(); ++i) {
      if (i % 2 == 0) clients[i].vanish();  // the others close properly, in their destructors
    }
  }
  EXPECT_TRUE(becomes_true([&] { return is_idle(server.model); }));
  const HttpResponse health = server.ask(get("/health"));
  EXPECT_THAT(health.body, HasSubstr("\"active_sequences\":0,\"waiting_sequences\":0"));
  EXPECT_THAT(health.body, HasSubstr("\"pages_held\":0"));
  EXPECT_TRUE(
      becomes_true([&] { return server.ask(get("/health")).body.find("\"clients\":1,") != std::string::npos; }));
}

TEST(ServerClients, HalfClosedStreamIsCancelled) {
  RunningServer server({.pace = milliseconds(1), .more_words = 1'000'000});
  HttpClient client = server.client();
  client.send(post_chat(kAskStream));
  EXPECT_TRUE(becomes_true([&] { return server.model.stats().active_sequences == 1; }));
  client.half_close();
  EXPECT_TRUE(becomes_true([&] { return is_idle(server.model); }));
  EXPECT_EQ(server.model.cancelled(), 1);
}

TEST(ServerClients, WhoDoesNotReadIsDroppedAndDelaysNobody) {
  RunningServer server({.more_words = 2'000'000}, {.max_unsent_bytes = 64 << 10});
  HttpClient sleeper = server.client(/*receive_buffer_bytes=*/4096);
  sleeper.send(post_chat(kAskStream));
  EXPECT_TRUE(becomes_true([&] { return server.model.cancelled() == 1; })) << "the sleeper was not dropped";
  EXPECT_THAT(server.ask(get("/metrics")).body, HasSubstr("hadal_answers_total{end=\"too_slow\"} 1\n"));
  const HttpResponse other = server.ask(post_chat(R"({"messages":[{"role":"user","content":"x"}],"max_tokens":20})"));
  EXPECT_EQ(other.status, 200);
}

TEST(ServerClients, UnfinishedRequestsAndIdleClientsAreTimedOut) {
  RunningServer server({}, {.request_timeout = milliseconds(60), .idle_timeout = milliseconds(60)});
  HttpClient slow = server.client(), idle = server.client();
  slow.send("POST /v1/chat/completions HTTP/1.1\r\nHost: loc");
  const auto response = slow.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 408);
  EXPECT_TRUE(idle.reached_end());
}

constexpr const char* kChunkedHead =
    "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(ServerClients, ChunkExtensionsAndTrailersWithoutEndAreNotKept) {
  RunningServer server({}, {.request_timeout = milliseconds(2'000)});
  for (const std::string part : {"2;", "0\r\n"}) {
    HttpClient client = server.client();
    client.send(kChunkedHead + part);
    for (int i = 0; i < 100; ++i) client.send("a: " + std::string(1000, 'x') + (part == "2;" ? "" : "\r\n"));
    const auto response = client.read_response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 400) << "408: it was kept until the request had taken too long";
    EXPECT_THAT(response->body, HasSubstr("invalid_http"));
    EXPECT_TRUE(client.reached_end());
  }
}

TEST(ServerClients, ShortExtensionsAndTrailersAreUnderstood) {
  RunningServer server;
  HttpClient client = server.client();
  const std::string body = kAsk;
  std::string chunks;  // a byte each: more bytes around the body than a head may have
  for (const char c : body) chunks += "1;of=" + std::string(500, 'x') + "\r\n" + c + "\r\n";
  client.send(kChunkedHead + chunks + "0\r\nChecked: yes\r\n\r\n");
  const auto response = client.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
}

// Beast forgets what a line had when a piece ends right behind the first letter of the next.
TEST(ServerClients, HeadThatComesLineByLineHasTheSameLimit) {
  RunningServer server;
  HttpClient client = server.client();
  client.send("GET /health HTTP/1.1\r\nHost: localhost\r\nX");
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(milliseconds(5));  // so that each piece is read by itself
    client.send(": " + std::string(2000, 'x') + "\r\nX");
  }
  client.send(": y\r\n\r\n");
  const auto response = client.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 431);
}

TEST(ServerClients, SilentStreamsGetComments) {
  RunningServer server({.reasoning = {"hm"}, .answer = {"42"}, .pace = milliseconds(60)},
                       {.keep_alive_interval = milliseconds(20)});
  const HttpResponse response = server.ask(post_chat(kAskStream));
  EXPECT_THAT(response.body, HasSubstr(": keep-alive\n\n"));
  EXPECT_EQ(response.events().back(), "[DONE]");
}

TEST(ServerClients, OneTooManyIsToldSo) {
  RunningServer server({}, {.max_clients = 2});
  HttpClient first = server.client(), second = server.client();
  first.send(get("/health"));
  second.send(get("/health"));
  ASSERT_TRUE(first.read_response() && second.read_response());
  HttpClient third = server.client();
  third.send(get("/health"));
  const auto response = third.read_response();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 503);
  EXPECT_TRUE(third.reached_end());
}

// Each client of these tests is a second open file of this process.
std::vector<HttpClient> answered_clients(const RunningServer& server, int count) {
  std::vector<HttpClient> clients;
  for (int i = 0; i < count; ++i) {
    HttpClient client = server.client();
    client.send(get("/health"));
    if (const auto response = client.read_response(); !response || response->status != 200) break;
    clients.push_back(std::move(client));
  }
  return clients;
}

TEST(ServerClients, SoftLimitOfOpenFilesIsRaised) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  if (before.rlim_max < 400) GTEST_SKIP() << "the system allows this process few files";
  const rlimit low{.rlim_cur = 100, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  RunningServer server;
  EXPECT_EQ(answered_clients(server, 100).size(), 100u);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

// In a process of its own, whose hard limit cannot be raised again.
TEST(ServerClientsDeathTest, SmallHardLimitMeansFewerClientsAndOneMoreIsToldSo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto fill_server = [] {
    const rlimit few{.rlim_cur = 70, .rlim_max = 70};  // room for 6, and for this test's own ends of them
    ::setrlimit(RLIMIT_NOFILE, &few);
    RunningServer server;
    const std::vector<HttpClient> clients = answered_clients(server, 6);
    const int more = server.ask(get("/health")).status;
    std::fprintf(stderr, "%zu answered, one more %d\n", clients.size(), more);
    std::_Exit(clients.size() == 6 && more == 503 ? 0 : 1);
  };
  EXPECT_EXIT(fill_server(), ::testing::ExitedWithCode(0), "6 answered, one more 503");
}

TEST(ServerClients, EndlessRequestsSentAheadAreNotKept) {
  RunningServer server({.pace = milliseconds(1), .more_words = 1'000'000});
  HttpClient client = server.client();
  client.send(post_chat(kAskStream));
  EXPECT_TRUE(becomes_true([&] { return server.model.stats().active_sequences == 1; }));
  // The server stops reading; the rest waits in the kernels (33 MiB at most, where this was measured) and then in a
  // send, which the deadline would end.
  constexpr int kPieces = 2048;  // 128 MiB
  std::atomic<int> sent = 0;
  std::thread flood([&] {
    const std::string piece(64 << 10, 'x');
    while (sent < kPieces && client.send(piece)) ++sent;
  });
  EXPECT_TRUE(becomes_true([&] { return sent > 0; }));
  for (int before = 0; before != sent;) {  // until it waits
    before = sent;
    std::this_thread::sleep_for(milliseconds(300));
  }
  EXPECT_LT(sent, kPieces) << "all of it was taken";
  EXPECT_EQ(server.ask(get("/health")).status, 200);
  server.request_stop();
  server.model.cancel(SequenceId{1});
  flood.join();
}

}  // namespace
}  // namespace hadal
