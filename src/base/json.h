// JSON text into nlohmann's tree, with hadal's errors: no exception leaves here.
//
// Any thread. Texts nested deeper than 200 are refused.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/result.h"

namespace hadal {

using Json = nlohmann::json;

// `subject` names the text in errors: "config.json: not JSON: line 3, column 7: ...". A key twice in one object is an
// error.
Result<Json> parse_json(std::string_view text, std::string_view subject);

// The file's own name is the subject.
Result<Json> read_json_file(const std::filesystem::path& path, std::uint64_t max_bytes = 64u << 20);

// One line, at most `max_chars` of it, for error messages; never throws on broken UTF-8.
std::string json_excerpt(const Json& value, std::size_t max_chars = 60);

}  // namespace hadal
