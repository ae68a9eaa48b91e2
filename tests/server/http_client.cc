#include "server/http_client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

namespace hadal {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

std::vector<std::string> HttpResponse::events() const {
  std::vector<std::string> events;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t end = body.find("\n\n", at);
    if (end == std::string::npos) break;
    if (body.compare(at, 6, "data: ") == 0) events.push_back(body.substr(at + 6, end - at - 6));
    at = end + 2;
  }
  return events;
}

HttpClient::HttpClient(int port, int receive_buffer_bytes) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
  const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (receive_buffer_bytes > 0)
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return;
  ::close(socket_);
  socket_ = -1;
}

HttpClient::HttpClient(HttpClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)), input_(std::move(other.input_)) {}

HttpClient::~HttpClient() {
  if (socket_ >= 0) ::close(socket_);
}

bool HttpClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

std::string HttpClient::read_some() {
  char buffer[16384];
  const ssize_t count = ::recv(socket_, buffer, sizeof buffer, 0);
  return count > 0 ? std::string(buffer, static_cast<std::size_t>(count)) : std::string();
}

bool HttpClient::reached_end() {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!read_some().empty())
    if (std::chrono::steady_clock::now() > until) return false;
  return true;
}

void HttpClient::half_close() {
  ::shutdown(socket_, SHUT_WR);
}

void HttpClient::vanish() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(std::exchange(socket_, -1));
}

std::optional<HttpResponse> HttpClient::read_response() {
  const auto more = [this] {
    const std::string bytes = read_some();
    input_ += bytes;
    return !bytes.empty();
  };
  std::size_t head_end;
  while ((head_end = input_.find("\r\n\r\n")) == std::string::npos)
    if (!more()) return std::nullopt;

  HttpResponse response;
  const std::string head = input_.substr(0, head_end + 2);
  input_.erase(0, head_end + 4);
  response.status = std::atoi(head.c_str() + std::string_view("HTTP/1.1 ").size());
  for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
    const std::size_t end = head.find("\r\n", at), colon = head.find(": ", at);
    response.headers[lower(head.substr(at, colon - at))] = head.substr(colon + 2, end - colon - 2);
    at = end + 2;
  }
  if (response.status == 100) return response;

  const auto take = [&](std::size_t bytes) {
    while (input_.size() < bytes)
      if (!more()) return std::optional<std::string>();
    std::string taken = input_.substr(0, bytes);
    input_.erase(0, bytes);
    return std::optional(taken);
  };
  if (response.headers.count("transfer-encoding") > 0) {
    for (;;) {
      std::size_t line_end;
      while ((line_end = input_.find("\r\n")) == std::string::npos)
        if (!more()) return std::nullopt;
      const std::size_t size = std::strtoul(input_.c_str(), nullptr, 16);
      input_.erase(0, line_end + 2);
      const auto chunk = take(size + 2);
      if (!chunk) return std::nullopt;
      if (size == 0) return response;
      response.body.append(*chunk, 0, size);
    }
  }
  if (response.headers.count("content-length") > 0) {
    auto body = take(std::strtoul(response.headers["content-length"].c_str(), nullptr, 10));
    if (!body) return std::nullopt;
    response.body = std::move(*body);
  } else if (response.headers["connection"] == "close") {
    while (more()) {
    }
    response.body = std::exchange(input_, {});
  }
  return response;
}

std::string get(std::string_view target, std::string_view headers) {
  return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", target, headers);
}

std::string post_chat(std::string_view json, std::string_view headers) {
  return fmt::format(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
      "{}\r\n"
      "{}\r\n{}",
      json.size(), headers, json);
}

}  // namespace hadal
