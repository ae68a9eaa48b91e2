// Typed access to one field of a JSON object, with one clear error when it is not as it should be.
//
// `subject` is where the object stands: "tokenizer.json: pre_tokenizer[2]". Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace hadal {

// "subject: key: expected a string, found 17"
Error json_field_error(std::string_view subject, std::string_view key, std::string_view expected, const Json* found);

// The field, or null when `object` is no object, lacks the key, or holds null there.
const Json* json_field(const Json& object, const char* key);

Result<std::string> json_string(const Json& object, const char* key, std::string_view subject);
Result<bool> json_bool(const Json& object, const char* key, bool absent, std::string_view subject);
Result<std::int64_t> json_integer(const Json& object, const char* key, std::int64_t low, std::int64_t high,
                                  std::string_view subject);  // low <= value < high
Result<const Json*> json_array(const Json& object, const char* key, std::string_view subject);
Result<const Json*> json_object(const Json& object, const char* key, std::string_view subject);

}  // namespace hadal
