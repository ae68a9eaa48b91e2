// Which request gets which answer, up to the point where the model is asked.
//
// Everything about paths, methods, keys, hosts and bodies is decided here, without
// sockets: a request's text in, a reply or a generation out.
// Threads: any; it only reads.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "chat/chat_model.h"
#include "server/chat_request.h"
#include "server/http_text.h"
#include "server/metrics.h"
#include "server/server_options.h"

namespace hadal {

struct HttpRequest {  // views into the connection's buffer
  std::string_view method{}, target{};
  // Header fields; empty when absent.
  std::string_view host{}, origin{}, authorization{}, content_type{}, if_none_match{};
  std::string_view body{};
};

class Router {
 public:
  // All three outlive the router.
  Router(ChatModel& model, const ServerOptions& options, const ServerMetrics& metrics);

  std::variant<HttpReply, ChatRequest> route(const HttpRequest& request) const;

  // The path when it is one that hadal knows, else "other": a label that strangers cannot multiply.
  static std::string route_label(std::string_view target);

  void set_draining() { draining_ = true; }  // /health says so from now on

 private:
  HttpReply health(const HttpRequest& request) const;
  HttpReply models() const;
  HttpReply one_model(std::string_view escaped_id) const;
  HttpReply page(const HttpRequest& request, std::string_view path) const;
  // Of the key in the request (access.h), 0 where none is asked for; nothing if the key is missing or wrong.
  std::optional<int> holder_of(const HttpRequest& request) const;
  std::variant<std::monostate, ApiError> check_access(const HttpRequest& request) const;

  ChatModel& model_;
  const ServerOptions& options_;
  const ServerMetrics& metrics_;
  ServedModel served_;
  std::int64_t started_ = 0;  // seconds since 1970
  std::atomic<bool> draining_{false};
};

}  // namespace hadal
