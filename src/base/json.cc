#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/printable.h"

namespace hadal {
namespace {

// What is deeper is hostile: printing and walking a tree recurse, and the stack is finite.
constexpr int kMaxDepth = 200;

// The line and column (from 1) of a byte, for people.
std::string place_of(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, std::min(byte > 0 ? byte - 1 : 0, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 = 0
  return fmt::format("line {}, column {}", line, before.size() - line_start + 1);
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view subject) {
  std::vector<std::set<std::string>> keys;  // of each open object
  std::string twice;
  bool too_deep = false;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    too_deep |= depth > kMaxDepth;
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second && twice.empty())
      twice = value.get<std::string>();
    return !too_deep;
  };
  try {
    Json json = Json::parse(text.begin(), text.end(), watch);
    if (too_deep) return Error{ErrorKind::invalid, fmt::format("{}: nested more than {} deep", subject, kMaxDepth)};
    if (!twice.empty())
      return Error{ErrorKind::invalid,
                   fmt::format("{}: key \"{}\" stands twice in one object", subject, printable(twice))};
    return json;
  } catch (const Json::parse_error& error) {
    return Error{ErrorKind::invalid, fmt::format("{}: not JSON: {}", subject, place_of(text, error.byte))};
  } catch (const Json::exception& error) {  // a number beyond double
    return Error{ErrorKind::invalid, fmt::format("{}: not usable JSON: {}", subject, error.what())};
  }
}

Result<Json> read_json_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  HADAL_ASSIGN(const std::string text, read_text_file(path, max_bytes));
  return parse_json(text, path.string());
}

std::string json_excerpt(const Json& value, std::size_t max_chars) {
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
  if (text.size() > max_chars) text = text.substr(0, max_chars) + "...";
  return text;
}

}  // namespace hadal
