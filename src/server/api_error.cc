#include "server/api_error.h"

#include "base/json.h"

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

ApiError from_model_error(const Error& error) {
  switch (error.kind) {
    case ErrorKind::invalid:
    case ErrorKind::unsupported:
      // Clients look for this word to shorten a conversation and try again.
      if (error.message.find("context") != std::string::npos)
        return {.message = error.message, .param = "messages", .code = "context_length_exceeded"};
      if (error.message.starts_with("thinking:"))  // a model that cannot think, or cannot but think
        return {.message = error.message, .param = "thinking", .code = "unsupported_value"};
      return {.message = error.message, .code = "invalid_value"};
    case ErrorKind::out_of_memory:
      return {.status = 503, .message = error.message, .type = "server_error", .code = "out_of_memory"};
    case ErrorKind::cancelled:
      return {.status = 503, .message = error.message, .type = "server_error", .code = "cancelled"};
    case ErrorKind::not_found:
    case ErrorKind::io:
      break;
  }
  return {.status = 500, .message = error.message, .type = "server_error", .code = "internal_error"};
}

}  // namespace hadal
