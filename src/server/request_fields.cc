#include "server/request_fields.h"

#include <fmt/format.h>

#include <utility>

namespace hadal {

std::string expected_in(Range range, std::string_view kind) {
  if (range.low == range.high) return fmt::format("{}", range.low);
  return fmt::format("{} from {} to {}", kind, range.low, range.high);
}

ApiError wrong_value(const std::string& field, std::string message, std::string code) {
  return {.message = field + ": " + std::move(message), .param = field, .code = std::move(code)};
}

ApiError wrong_type(const std::string& field, std::string_view expected, const Json& found) {
  const std::string shown = found.is_structured() ? fmt::format("an {}", found.type_name()) : json_excerpt(found);
  return wrong_value(field, fmt::format("expected {}, found {}", expected, shown), "invalid_type");
}

bool Fields::number(const char* field, Range range, double& into, std::string_view kind) {
  const Json* value = find(field);
  if (value == nullptr) return false;
  if (!value->is_number()) return fail(wrong_type(name(field), kind, *value)), false;
  const double found = value->get<double>();
  if (!(found >= range.low && found <= range.high))
    return fail(wrong_value(name(field),
                            fmt::format("expected {}, found {}", expected_in(range, kind), json_excerpt(*value)))),
           false;
  into = found;
  return true;
}

bool Fields::boolean(const char* field, bool& into) {
  const Json* value = find(field);
  if (value == nullptr) return false;
  if (!value->is_boolean()) return fail(wrong_type(name(field), "true or false", *value)), false;
  into = value->get<bool>();
  return true;
}

bool Fields::text(const char* field, std::string& into) {
  const Json* value = find(field);
  if (value == nullptr) return false;
  if (!value->is_string()) return fail(wrong_type(name(field), "a string", *value)), false;
  into = value->get<std::string>();
  return true;
}

}  // namespace hadal
