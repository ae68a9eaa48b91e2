#include "server/http_text.h"

#include <fmt/format.h>

namespace hadal {
namespace {

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Unknown";
  }
}

// What every response carries: nothing is guessed from content, nothing is kept by proxies, nobody frames the page.
constexpr std::string_view kCommonHeaders =
    "Server: hadal\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";

std::string head(int status, std::string_view content_type, AfterReply after) {
  return fmt::format("HTTP/1.1 {} {}\r\n{}Content-Type: {}\r\nConnection: {}\r\n", status, reason_of(status),
                     kCommonHeaders, content_type, after == AfterReply::keep_alive ? "keep-alive" : "close");
}

}  // namespace

HttpReply json_reply(std::string json) {
  return {.content_type = "application/json", .body = std::move(json), .headers = {{"Cache-Control", "no-store"}}};
}

HttpReply error_reply(const ApiError& error) {
  HttpReply reply = json_reply(error_json(error));
  reply.status = error.status;
  if (error.status == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.status == 503) reply.headers.emplace_back("Retry-After", "2");
  return reply;
}

std::string reply_text(const HttpReply& reply, AfterReply after, Body body) {
  std::string text = head(reply.status, reply.content_type, after);
  for (const auto& [name, value] : reply.headers) text += fmt::format("{}: {}\r\n", name, value);
  if (reply.status != 304) text += fmt::format("Content-Length: {}\r\n", reply.body.size());
  text += "\r\n";
  if (body == Body::send) text += reply.body;
  return text;
}

std::string stream_head(std::string_view content_type, Framing framing, AfterReply after) {
  std::string text = head(200, content_type, after);
  text += "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n";  // proxies must pass each piece on
  if (framing == Framing::chunked) text += "Transfer-Encoding: chunked\r\n";
  return text + "\r\n";
}

std::string framed(std::string_view piece, Framing framing) {
  if (piece.empty()) return {};  // an empty chunk would end the body
  return framing == Framing::chunked ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : std::string(piece);
}

std::string_view stream_end(Framing framing) {
  return framing == Framing::chunked ? "0\r\n\r\n" : "";
}

}  // namespace hadal
