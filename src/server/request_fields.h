// Typed reading of a request's JSON: the first thing that is wrong becomes one clear ApiError.
//
// Used by chat_request.cc and tool_request.cc. Threads: no state beyond one request.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "server/api_error.h"

namespace hadal {

struct Range {
  double low, high;
};

// "a number from 0 to 2", "1".
std::string expected_in(Range range, std::string_view kind);

ApiError wrong_value(const std::string& field, std::string message, std::string code = "invalid_value");
ApiError wrong_type(const std::string& field, std::string_view expected, const Json& found);

// Reads the fields of one JSON object. The first thing wrong is kept in `error`; after it, reads do nothing.
// A field that is null counts as absent, as clients send it so.
class Fields {
 public:
  Fields(const Json& object, std::string path, std::optional<ApiError>& error)
      : object_(object), path_(std::move(path)), error_(error) {}

  std::string name(std::string_view field) const { return path_ + std::string(field); }
  void fail(ApiError error) {
    if (!error_) error_ = std::move(error);
  }

  const Json* find(const char* field) const {
    const auto it = object_.find(field);
    return error_ || it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  bool number(const char* field, Range range, double& into, std::string_view kind = "a number");

  template <class Int>
  bool integer(const char* field, Range range, Int& into) {
    const Json* value = find(field);
    if (value == nullptr) return false;
    const bool whole = value->is_number() && std::trunc(value->get<double>()) == value->get<double>();
    if (!whole) return fail(wrong_type(name(field), "an integer", *value)), false;
    double found = 0;
    if (!number(field, range, found, "an integer")) return false;
    // Through double only what was written as 1e3 or 5.0: a seed has more digits than a double.
    into = value->is_number_float() ? static_cast<Int>(found) : value->get<Int>();
    return true;
  }

  bool boolean(const char* field, bool& into);

  bool text(const char* field, std::string& into);

 private:
  const Json& object_;
  std::string path_;  // "messages[2]." or ""
  std::optional<ApiError>& error_;
};

}  // namespace hadal
