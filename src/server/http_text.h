// The bytes of HTTP/1.1 responses.
//
// Pure. Requests are parsed by Boost.Beast (connection.cc); what hadal sends is
// little enough to be written here, where it can be tested without a socket.
// Threads: no state.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/api_error.h"

namespace hadal {

struct HttpReply {
  int status = 200;
  std::string content_type{};
  std::string body{};
  std::vector<std::pair<std::string, std::string>> headers{};  // besides the ones that every response has
};

HttpReply json_reply(std::string json);
HttpReply error_reply(const ApiError& error);

enum class AfterReply { keep_alive, close };
enum class Body { send, leave_out };  // left out for HEAD; the length is told all the same

std::string reply_text(const HttpReply& reply, AfterReply after, Body body);

// The head of a response whose body comes in pieces: as chunks, or (for HTTP/1.0) until the connection ends.
enum class Framing { chunked, until_close };
std::string stream_head(std::string_view content_type, Framing framing, AfterReply after);
std::string framed(std::string_view piece, Framing framing);
std::string_view stream_end(Framing framing);

}  // namespace hadal
