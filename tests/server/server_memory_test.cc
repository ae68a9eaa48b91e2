// Memory that is short for a moment: it costs one client its connection, and leaves nothing behind.
#include <gmock/gmock.h>

#include "base/allocations.h"
#include "server/server_fixture.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;

// Asked over a connection of its own, which is one of them.
bool has_clients(const RunningServer& server, int count) {
  return server.ask(get("/health")).body.find("\"clients\":" + std::to_string(count) + ",") != std::string::npos;
}

TEST(ServerMemory, ClientThatThereIsNoRoomForIsNotTheLast) {
  RunningServer server;
  ASSERT_EQ(server.ask(get("/health")).status, 200);
  fail_next_allocation(16 << 10);  // a connection has a buffer of so many bytes
  const HttpClient unlucky = server.client();
  ASSERT_TRUE(becomes_true(allocation_has_failed));
  EXPECT_EQ(server.ask(get("/health")).status, 200);
  EXPECT_TRUE(becomes_true([&] { return has_clients(server, 1); }));
}

TEST(ServerMemory, RequestThatThereIsNoRoomForClosesItsConnection) {
  RunningServer server;
  HttpClient client = server.client();
  fail_next_allocation(2 << 20);
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n{");
  ASSERT_TRUE(becomes_true(allocation_has_failed));
  EXPECT_TRUE(becomes_true([&] { return has_clients(server, 1); }));
}

TEST(ServerMemory, AnswerThatThereIsNoRoomForClosesItsConnection) {
  RunningServer server({.answer = {std::string(1 << 20, '\x01')}});
  for (const char* question : {kAsk, kAskStream}) {
    HttpClient client = server.client();
    fail_next_allocation(4 << 20);  // the model asks for less: only as JSON is each byte of its answer six
    client.send(post_chat(question));
    ASSERT_TRUE(becomes_true(allocation_has_failed));
    EXPECT_TRUE(becomes_true([&] { return has_clients(server, 1); }));
  }
  EXPECT_TRUE(becomes_true([&] { return is_idle(server.model); }));
  EXPECT_THAT(server.ask(get("/metrics")).body, HasSubstr("hadal_answers_total{end=\"failed\"} 2\n"));
}

}  // namespace
}  // namespace hadal
