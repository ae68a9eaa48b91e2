#include "server/http_text.h"

#include <gmock/gmock.h>

namespace hadal {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(HttpText, ReplyTellsItsLengthAndWhatComesAfter) {
  const std::string text = reply_text(json_reply("{}"), AfterReply::keep_alive, Body::send);
  EXPECT_THAT(text, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(text, HasSubstr("\r\nContent-Length: 2\r\n"));
  EXPECT_THAT(text, HasSubstr("\r\nConnection: keep-alive\r\n"));
  EXPECT_THAT(text, HasSubstr("\r\nX-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(text, EndsWith("\r\n\r\n{}"));
}

TEST(HttpText, HeadHasTheLengthWithoutTheBody) {
  const std::string text = reply_text(json_reply("{\"a\":1}"), AfterReply::close, Body::leave_out);
  EXPECT_THAT(text, HasSubstr("Content-Length: 7\r\n"));
  EXPECT_THAT(text, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(text, EndsWith("\r\n\r\n"));
}

TEST(HttpText, ErrorsSayWhatToDoNext) {
  EXPECT_THAT(reply_text(error_reply({.status = 401, .message = "m"}), AfterReply::keep_alive, Body::send),
              HasSubstr("WWW-Authenticate: Bearer\r\n"));
  EXPECT_THAT(reply_text(error_reply({.status = 503, .message = "m"}), AfterReply::close, Body::send),
              HasSubstr("Retry-After: "));
}

TEST(HttpText, ErrorObjectHasNullsForWhatIsUnknownAndNeverBreaks) {
  EXPECT_EQ(error_json({.message = "no"}),
            R"({"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}})");
  EXPECT_THAT(error_json({.message = "bad \xff byte"}), HasSubstr("bad \xEF\xBF\xBD byte"));
}

TEST(HttpText, ChunksCarryTheirSizeAndAnEmptyOneIsNeverSent) {
  EXPECT_EQ(framed("0123456789abcdefg", Framing::chunked), "11\r\n0123456789abcdefg\r\n");
  EXPECT_EQ(framed("", Framing::chunked), "");
  EXPECT_EQ(framed("x", Framing::until_close), "x");
  EXPECT_EQ(stream_end(Framing::chunked), "0\r\n\r\n");
  EXPECT_EQ(stream_end(Framing::until_close), "");
  EXPECT_THAT(stream_head("text/event-stream", Framing::until_close, AfterReply::close),
              Not(HasSubstr("Transfer-Encoding")));
}

}  // namespace
}  // namespace hadal
