#include "text/json_fields.h"

#include <fmt/format.h>

namespace hadal {

Error json_field_error(std::string_view subject, std::string_view key, std::string_view expected, const Json* found) {
  return {found == nullptr ? ErrorKind::not_found : ErrorKind::invalid,
          fmt::format("{}: {}: expected {}, found {}", subject, key, expected,
                      found == nullptr ? "nothing" : json_excerpt(*found))};
}

const Json* json_field(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto field = object.find(key);
  return field == object.end() || field->is_null() ? nullptr : &*field;
}

Result<std::string> json_string(const Json& object, const char* key, std::string_view subject) {
  const Json* field = json_field(object, key);
  if (field == nullptr || !field->is_string()) return json_field_error(subject, key, "a string", field);
  return field->get<std::string>();
}

Result<bool> json_bool(const Json& object, const char* key, bool absent, std::string_view subject) {
  const Json* field = json_field(object, key);
  if (field == nullptr) return absent;
  if (!field->is_boolean()) return json_field_error(subject, key, "true or false", field);
  return field->get<bool>();
}

Result<std::int64_t> json_integer(const Json& object, const char* key, std::int64_t low, std::int64_t high,
                                  std::string_view subject) {
  const Json* field = json_field(object, key);
  const auto refused = [&] {
    return json_field_error(subject, key, fmt::format("a whole number from {} to {}", low, high - 1), field);
  };
  if (field == nullptr || !field->is_number_integer()) return refused();
  if (field->is_number_unsigned() && field->get<std::uint64_t>() > INT64_MAX) return refused();
  const auto value = field->get<std::int64_t>();
  if (value < low || value >= high) return refused();
  return value;
}

Result<const Json*> json_array(const Json& object, const char* key, std::string_view subject) {
  const Json* field = json_field(object, key);
  if (field == nullptr || !field->is_array()) return json_field_error(subject, key, "a list", field);
  return field;
}

Result<const Json*> json_object(const Json& object, const char* key, std::string_view subject) {
  const Json* field = json_field(object, key);
  if (field == nullptr || !field->is_object()) return json_field_error(subject, key, "an object", field);
  return field;
}

}  // namespace hadal
