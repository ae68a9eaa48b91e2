// JSON whose objects keep the order of their keys and whose numbers keep their digits: tools and arguments on their way
// into a prompt, written as Python's json.dumps writes them (MODELS.md 10.5).
//
// Models were trained on what templates print with json.dumps, so another spacing, another order of keys or another
// spelling of 1e16 is another prompt. Not for configuration files: base/json.h is.
// Any thread; a value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace hadal {

class OrderedJson {
 public:
  enum class Kind { null, boolean, number, string, array, object };

  OrderedJson() = default;  // null
  static OrderedJson of_string(std::string text);
  static OrderedJson of(const Json& json);  // its order of keys is the alphabet's
  // Errors as parse_json() gives them.
  static Result<OrderedJson> parse(std::string_view text, std::string_view subject);

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::null; }
  bool is_string() const { return kind_ == Kind::string; }
  bool is_array() const { return kind_ == Kind::array; }
  bool is_object() const { return kind_ == Kind::object; }
  const std::string& string() const { return text_; }  // of a string; of a number, its digits

  const std::vector<OrderedJson>& items() const { return items_; }  // of an array, or an object's values
  const std::vector<std::string>& keys() const { return keys_; }    // of an object, beside items()
  const OrderedJson* find(std::string_view key) const;              // null: no such key, or no object
  const OrderedJson* find_value(std::string_view key) const;        // a field that is null counts as absent

  // json.dumps(value, ensure_ascii=False): ", " and ": ", floats as 1.0 and 1e+16, whole numbers digit by digit.
  std::string dump() const;
  // The same with indent=`spaces`.
  std::string dump_indented(int spaces) const;

 private:
  friend class OrderedJsonReader;
  void write(std::string& out, int spaces, int depth) const;

  Kind kind_ = Kind::null;
  std::string text_;  // a string's text; a number or a boolean as it is written
  std::vector<std::string> keys_;
  std::vector<OrderedJson> items_;
};

// For error messages: one line, at most `max_chars` of it.
std::string json_excerpt(const OrderedJson& value, std::size_t max_chars = 60);

}  // namespace hadal
