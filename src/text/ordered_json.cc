#include "text/ordered_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/utf8.h"

namespace hadal {
namespace {

// Python's repr of a float: the shortest digits that read back, and an exponent below 1e-4 and from 1e16 on.
std::string python_float(double value) {
  char digits[400];  // DBL_MAX has 309
  const double size = std::fabs(value);
  const bool exponent = value != 0 && (size < 1e-4 || size >= 1e16);
  const auto form = exponent ? std::chars_format::scientific : std::chars_format::fixed;
  const auto end = std::to_chars(digits, digits + sizeof digits, value, form).ptr;
  std::string text(digits, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

void write_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\b':
        out += "\\b";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20)
          out += fmt::format("\\u{:04x}", static_cast<int>(c));
        else
          out += c;
    }
  }
  out += '"';
}

}  // namespace

// Builds the tree while nlohmann's parser walks a text, or while a tree of it is walked.
class OrderedJsonReader final : public nlohmann::json_sax<Json> {
 public:
  explicit OrderedJsonReader(OrderedJson& root) : root_(root) {}

  bool null() override { return add(OrderedJson::Kind::null, {}); }
  bool boolean(bool value) override { return add(OrderedJson::Kind::boolean, value ? "true" : "false"); }
  bool number_integer(std::int64_t value) override { return add(OrderedJson::Kind::number, std::to_string(value)); }
  bool number_unsigned(std::uint64_t value) override { return add(OrderedJson::Kind::number, std::to_string(value)); }
  // A whole number beyond 64 bits arrives here too; Python keeps all of its digits.
  bool number_float(double value, const std::string& written) override {
    const bool whole = !written.empty() && written.find_first_of(".eE") == std::string::npos;
    return add(OrderedJson::Kind::number, whole ? written : python_float(value));
  }
  bool string(std::string& text) override { return add(OrderedJson::Kind::string, std::move(text)); }
  bool binary(Json::binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(OrderedJson::Kind::object); }
  bool start_array(std::size_t) override { return open(OrderedJson::Kind::array); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    open_.back()->keys_.push_back(std::move(name));
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const Json::exception&) override { return false; }

  void walk(const Json& json) {
    if (json.is_object()) {
      start_object(0);
      for (const auto& [name, value] : json.items()) {
        open_.back()->keys_.push_back(name);
        walk(value);
      }
      end_object();
    } else if (json.is_array()) {
      start_array(0);
      for (const Json& value : json) walk(value);
      end_array();
    } else if (json.is_string()) {
      add(OrderedJson::Kind::string, json.get<std::string>());
    } else if (json.is_boolean()) {
      boolean(json.get<bool>());
    } else if (json.is_number_float()) {
      number_float(json.get<double>(), {});
    } else if (json.is_number_unsigned()) {
      number_unsigned(json.get<std::uint64_t>());
    } else if (json.is_number()) {
      number_integer(json.get<std::int64_t>());
    } else {
      null();
    }
  }

 private:
  // Where the next value stands. An item may move while its array grows, but only after it was closed.
  OrderedJson& place() {
    if (open_.empty()) return root_;
    return open_.back()->items_.emplace_back();
  }
  bool add(OrderedJson::Kind kind, std::string text) {
    OrderedJson& value = place();
    value.kind_ = kind;
    value.text_ = std::move(text);
    return true;
  }
  bool open(OrderedJson::Kind kind) {
    OrderedJson& value = place();
    value.kind_ = kind;
    open_.push_back(&value);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  OrderedJson& root_;
  std::vector<OrderedJson*> open_;
};

OrderedJson OrderedJson::of_string(std::string text) {
  OrderedJson value;
  value.kind_ = Kind::string;
  value.text_ = std::move(text);
  return value;
}

OrderedJson OrderedJson::of(const Json& json) {
  OrderedJson root;
  OrderedJsonReader(root).walk(json);
  return root;
}

Result<OrderedJson> OrderedJson::parse(std::string_view text, std::string_view subject) {
  HADAL_RETURN_IF_ERROR(parse_json(text, subject));  // depth, keys that stand twice, and where an error is
  OrderedJson root;
  OrderedJsonReader reader(root);
  HADAL_CHECK(Json::sax_parse(text.begin(), text.end(), &reader));
  return root;
}

const OrderedJson* OrderedJson::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  const auto at = std::find(keys_.begin(), keys_.end(), key);
  return at == keys_.end() ? nullptr : &items_[static_cast<std::size_t>(at - keys_.begin())];
}

const OrderedJson* OrderedJson::find_value(std::string_view key) const {
  const OrderedJson* value = find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string OrderedJson::dump() const {
  std::string out;
  write(out, 0, 0);
  return out;
}

std::string OrderedJson::dump_indented(int spaces) const {
  std::string out;
  write(out, spaces, 1);
  return out;
}

// spaces 0: all on one line.
void OrderedJson::write(std::string& out, int spaces, int depth) const {
  if (is_null()) {
    out += "null";
  } else if (is_string()) {
    write_string(text_, out);
  } else if (!is_array() && !is_object()) {
    out += text_;
  } else {
    const auto new_line = [&](int level) {
      if (spaces > 0) out.append("\n").append(static_cast<std::size_t>(spaces) * static_cast<std::size_t>(level), ' ');
    };
    out += is_array() ? '[' : '{';
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (i > 0) out += spaces > 0 ? "," : ", ";
      new_line(depth);
      if (is_object()) {
        write_string(keys_[i], out);
        out += ": ";
      }
      items_[i].write(out, spaces, depth + 1);
    }
    if (!items_.empty()) new_line(depth - 1);
    out += is_array() ? ']' : '}';
  }
}

std::string json_excerpt(const OrderedJson& value, std::size_t max_chars) {
  std::string text = value.dump();
  if (text.size() > max_chars) text = repair_utf8(text.substr(0, max_chars)) + "...";
  return text;
}

}  // namespace hadal
