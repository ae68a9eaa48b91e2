// What a client is told when a request cannot be served: the OpenAI error object.
//
// Pure data and text; sending it is connection.h's work.
// Threads: no state.
#pragma once

#include <string>

#include "base/result.h"

namespace hadal {

struct ApiError {
  int status = 400;                            // of HTTP
  std::string message;                         // one line: subject, expected, found
  std::string type = "invalid_request_error";  // OpenAI's families: invalid_request_error, server_error, ...
  std::string param{};                         // the field that is wrong; empty becomes null
  std::string code{};                          // a word for programs; empty becomes null
};

// {"error": {"message", "type", "param", "code"}}; broken UTF-8 in the message is replaced, never sent.
std::string error_json(const ApiError& error);

// An error of ChatModel::submit(), as the API has it.
ApiError from_model_error(const Error& error);

// An error of a running generation. What can be wrong with a request was found before: whatever this is, it is not the
// client's.
ApiError from_generation_error(const Error& error);

}  // namespace hadal
