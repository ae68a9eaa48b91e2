#include "server/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <functional>

#include "base/json.h"
#include "server/access.h"
#include "server/web_assets.h"

namespace hadal {
namespace {

using Object = nlohmann::ordered_json;

// Only the page's own files run, nothing is loaded from or sent to anywhere else.
constexpr std::string_view kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

constexpr std::string_view kModelsPrefix = "/v1/models/";

std::string compact(const Object& json) {
  return json.dump(-1, ' ', false, Object::error_handler_t::replace);
}

std::string lower(std::string_view text) {
  std::string lowered(text);
  std::transform(lowered.begin(), lowered.end(), lowered.begin(), [](unsigned char c) { return std::tolower(c); });
  return lowered;
}

// Of "http://localhost:8080/health" (a target's absolute form; RFC 9112, 3.2.2) "http://localhost:8080"; of a path
// nothing.
std::string_view origin_of(std::string_view target) {
  const std::size_t name = target.find("://");
  if (name == target.npos) return {};
  const std::string scheme = lower(target.substr(0, name));
  if (scheme != "http" && scheme != "https") return {};
  return target.substr(0, target.find_first_of("/?", name + 3));
}

std::string_view path_of(std::string_view target) {
  target.remove_prefix(origin_of(target).size());
  const std::string_view path = target.substr(0, target.find('?'));
  return path.empty() ? "/" : path;
}

// An escape that is none stays as it is.
std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const char* const end = digits.data() + digits.size();
    const bool is_escape =
        text[i] == '%' && digits.size() == 2 && std::from_chars(digits.data(), end, byte, 16).ptr == end;
    decoded += is_escape ? static_cast<char>(byte) : text[i];
    if (is_escape) i += digits.size();
  }
  return decoded;
}

// DeepSeek's own base URL has no /v1; clients set up for it work too.
std::string_view canonical(std::string_view path) {
  if (path == "/chat/completions") return "/v1/chat/completions";
  if (path == "/models") return "/v1/models";
  return path;
}

HttpReply wrong_method(std::string_view method, std::string_view path, const char* allowed) {
  HttpReply reply = error_reply({.status = 405,
                                 .message = fmt::format("{}: expected {}, found {}", path, allowed, method),
                                 .code = "method_not_allowed"});
  reply.headers.emplace_back("Allow", allowed);
  return reply;
}

bool is_read(std::string_view method) {
  return method == "GET" || method == "HEAD";
}

// Absent counts as JSON; "application/json; charset=utf-8" is. A form or plain text is what a foreign page could send
// without asking the browser's leave, and what `curl -d` sends when nobody told it otherwise.
bool is_json(std::string_view content_type) {
  std::string type = lower(content_type.substr(0, content_type.find(';')));
  std::erase_if(type, [](char c) { return c == ' ' || c == '\t'; });
  return type.empty() || type == "application/json";
}

Object model_card(const ChatModel& model, std::int64_t started) {
  return {{"id", model.name()},
          {"object", "model"},
          {"created", started},
          {"owned_by", "hadal"},
          {"context_tokens", model.context_tokens()}};
}

// A path or a method in an error message: short, and printable.
std::string shown(std::string_view text) {
  return json_excerpt(Json(text), 80);
}

}  // namespace

Router::Router(ChatModel& model, const ServerOptions& options, const ServerMetrics& metrics)
    : model_(model),
      options_(options),
      metrics_(metrics),
      served_{model.name(), model.default_sampling(), model.context_tokens()},
      started_(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())) {}

std::string Router::route_label(std::string_view target) {
  const std::string_view path = canonical(path_of(target));
  for (const std::string_view known : {"/v1/chat/completions", "/v1/models", "/health", "/metrics"})
    if (path == known) return std::string(known);
  if (path.starts_with(kModelsPrefix)) return "/v1/models";
  return find_web_asset(path) != nullptr ? "page" : "other";
}

std::optional<int> Router::holder_of(const HttpRequest& request) const {
  if (options_.api_keys.empty()) return 0;
  const int holder = key_holder(request.authorization, options_.api_keys);
  return holder != 0 ? std::optional(holder) : std::nullopt;
}

std::variant<std::monostate, ApiError> Router::check_access(const HttpRequest& request) const {
  // Else it would be a question which of the two was checked.
  if (const auto origin = origin_of(request.target); !origin.empty() && !is_same_origin(origin, request.host))
    return ApiError{.message = fmt::format("request: expected the Host ({}) in its target, found {}",
                                           shown(request.host), shown(origin)),
                    .code = "invalid_http"};
  if (!options_.api_keys.empty()) return std::monostate();  // what is private asks for the key
  if (!is_loopback_name(host_of(request.host)))
    return ApiError{.status = 403,
                    .message = fmt::format("Host: expected a name of this machine (localhost, 127.0.0.1), found {}",
                                           shown(request.host)),
                    .type = "permission_error",
                    .code = "forbidden_host"};
  if (!request.origin.empty() && !is_same_origin(request.origin, request.host))
    return ApiError{.status = 403,
                    .message = fmt::format("Origin: expected this server's own page, found {}", shown(request.origin)),
                    .type = "permission_error",
                    .code = "forbidden_origin"};
  return std::monostate();
}

std::variant<HttpReply, ChatRequest> Router::route(const HttpRequest& request) const {
  if (const auto access = check_access(request); const auto* error = std::get_if<ApiError>(&access))
    return error_reply(*error);

  const std::string_view path = canonical(path_of(request.target));
  if (path == "/health") return is_read(request.method) ? health(request) : wrong_method(request.method, path, "GET");
  if (find_web_asset(path) != nullptr)
    return is_read(request.method) ? page(request, path) : wrong_method(request.method, path, "GET");

  const std::optional<int> holder = holder_of(request);
  if (!holder)
    return error_reply({.status = 401,
                        .message = request.authorization.empty()
                                       ? "Authorization: expected \"Bearer <API key>\", found nothing"
                                       : "Authorization: the API key is not one of this server's",
                        .type = "authentication_error",
                        .code = "invalid_api_key"});
  if (path == "/metrics") {
    if (!is_read(request.method)) return wrong_method(request.method, path, "GET");
    return HttpReply{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                     .body = metrics_.text(model_.stats(), model_.name())};
  }
  if (path == "/v1/models") return is_read(request.method) ? models() : wrong_method(request.method, path, "GET");
  if (path.starts_with(kModelsPrefix))
    return is_read(request.method) ? one_model(path.substr(kModelsPrefix.size()))
                                   : wrong_method(request.method, path, "GET");
  if (path == "/v1/chat/completions") {
    if (request.method != "POST") return wrong_method(request.method, path, "POST");
    if (!is_json(request.content_type))
      return error_reply(
          {.status = 415,
           .message = fmt::format("Content-Type: expected application/json, found {}", shown(request.content_type)),
           .code = "unsupported_media_type"});
    auto parsed = parse_chat_request(request.body, served_);
    if (const auto* error = std::get_if<ApiError>(&parsed)) return error_reply(*error);
    ChatRequest chat = std::get<ChatRequest>(std::move(parsed));
    chat.generation.holder = *holder;
    return chat;
  }
  return error_reply({.status = 404,
                      .message = fmt::format("path: expected /v1/chat/completions, /v1/models, /health, /metrics or /, "
                                             "found {}",
                                             shown(path)),
                      .code = "unknown_path"});
}

HttpReply Router::health(const HttpRequest& request) const {
  Object json = {{"status", draining_ ? "draining" : "ok"}};
  if (holder_of(request)) {  // strangers learn that it lives, not what it does
    const EngineStats stats = model_.stats();
    json.update(Object{{"model", model_.name()},
                       {"context_tokens", model_.context_tokens()},
                       {"clients", metrics_.clients()},
                       {"active_sequences", stats.active_sequences},
                       {"waiting_sequences", stats.waiting_sequences},
                       {"pages_total", stats.pages_total},
                       {"pages_free", stats.pages_free},
                       {"pages_held", stats.pages_held}});
  } else {
    json["key_required"] = true;
  }
  return json_reply(compact(json));
}

HttpReply Router::models() const {
  return json_reply(compact({{"object", "list"}, {"data", Object::array({model_card(model_, started_)})}}));
}

HttpReply Router::one_model(std::string_view escaped_id) const {
  const std::string id = percent_decoded(escaped_id);
  if (id != model_.name())
    return error_reply({.status = 404,
                        .message = fmt::format("model: expected \"{}\", the one that is served here, found {}",
                                               model_.name(), shown(id)),
                        .param = "model",
                        .code = "model_not_found"});
  return json_reply(compact(model_card(model_, started_)));
}

HttpReply Router::page(const HttpRequest& request, std::string_view path) const {
  const WebAsset& asset = *find_web_asset(path);
  const std::string tag = fmt::format("\"{:016x}\"", std::hash<std::string_view>()(asset.content));
  HttpReply reply{.content_type = std::string(content_type_of(asset.path)),
                  .headers = {{"ETag", tag},
                              {"Cache-Control", "no-cache"},  // ask again each time: the binary may be a new one
                              {"Content-Security-Policy", std::string(kPagePolicy)}}};
  if (request.if_none_match == tag)
    reply.status = 304;
  else
    reply.body = std::string(asset.content);
  return reply;
}

}  // namespace hadal
