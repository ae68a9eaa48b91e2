#include "server/api_error.h"

#include <algorithm>

#include "base/json.h"
#include "chat/chat_model.h"

namespace hadal {

std::string error_json(const ApiError& error) {
  using Object = nlohmann::ordered_json;
  const auto or_null = [](const std::string& text) { return text.empty() ? Object(nullptr) : Object(text); };
  const Object body = {{"error",
                        {{"message", error.message},
                         {"type", error.type},
                         {"param", or_null(error.param)},
                         {"code", or_null(error.code)}}}};
  return body.dump(-1, ' ', /*ensure_ascii=*/false, Object::error_handler_t::replace);
}

namespace {

// "top_p: expected ..." -> "top_p". Empty when the message begins otherwise, and for what is no field of a request.
std::string field_named_in(const std::string& message) {
  const std::string field = message.substr(0, std::min(message.find(": "), message.size()));
  const bool plain = field.size() < message.size() &&
                     field.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789[].") == std::string::npos;
  if (!plain) return {};
  return field == "prompt" ? "messages" : field;
}

}  // namespace

ApiError from_model_error(const Error& error) {
  if (error.kind != ErrorKind::invalid && error.kind != ErrorKind::unsupported) return from_generation_error(error);
  // Clients look for this code to shorten a conversation and try again.
  if (error.message.starts_with(kPromptTooLong))
    return {.message = error.message, .param = "messages", .code = "context_length_exceeded"};
  const std::string field = field_named_in(error.message);
  // A model that cannot think, or cannot but think; one whose format has no tools.
  const bool unable = field == "thinking" || field == "tools";
  return {.message = error.message, .param = field, .code = unable ? "unsupported_value" : "invalid_value"};
}

ApiError from_generation_error(const Error& error) {
  ApiError told{.status = 500, .message = error.message, .type = "server_error", .code = "internal_error"};
  if (error.kind == ErrorKind::out_of_memory) told.code = "out_of_memory";
  if (error.kind == ErrorKind::cancelled) told.code = "cancelled";
  if (told.code != "internal_error") told.status = 503;
  return told;
}

}  // namespace hadal
