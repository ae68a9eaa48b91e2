#include "trainer/recipe_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sstream>

namespace hadal {

std::string toml_excerpt(const toml::node& node) {
  if (node.is_table()) return "a table";
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  std::string text = out.str();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

// " (line 12)"; with the file where the subject names another, which includes it.
std::string RecipeTable::place_of(const toml::source_region& source) const {
  if (!source.begin) return "";
  const bool included = source.path && !subject_.starts_with(*source.path);
  return fmt::format(" ({}line {})", included ? *source.path + ", " : "", source.begin.line);
}

const toml::node* RecipeTable::find(std::string_view key) {
  asked_.emplace(key);
  return get(key);
}

const toml::node* RecipeTable::get(std::string_view key) const {
  const toml::node* node = table_.get(key);
  return node == nullptr && defaults_ != nullptr ? defaults_->get(key) : node;
}

std::string RecipeTable::place(std::string_view key) const {
  const toml::node* node = get(key);
  return place_of(node != nullptr ? node->source() : table_.source());
}

void RecipeTable::fail_with(Error error) {
  if (!error_) error_ = std::move(error);
}

void RecipeTable::fail(std::string_view key, std::string_view expected) {
  const toml::node* node = get(key);
  fail_with(Error{ErrorKind::invalid, fmt::format("{}: {}: expected {}, found {}{}", subject_, key, expected,
                                                  node != nullptr ? toml_excerpt(*node) : "nothing", place(key))});
}

std::string RecipeTable::text(std::string_view key, std::optional<std::string> absent) {
  const toml::node* node = find(key);
  if (node == nullptr && absent) return *absent;
  if (node == nullptr || !node->is_string() || node->as_string()->get().empty()) {
    fail(key, "a string");
    return {};
  }
  return node->as_string()->get();
}

bool RecipeTable::flag(std::string_view key, bool absent) {
  const toml::node* node = find(key);
  if (node == nullptr) return absent;
  if (!node->is_boolean()) {
    fail(key, "true or false");
    return absent;
  }
  return node->as_boolean()->get();
}

std::int64_t RecipeTable::integer(std::string_view key, std::optional<std::int64_t> absent, std::int64_t low,
                                  std::int64_t high) {
  const toml::node* node = find(key);
  if (node == nullptr && absent) return *absent;
  if (node == nullptr || !node->is_integer() || node->as_integer()->get() < low || node->as_integer()->get() > high) {
    fail(key, fmt::format("an integer from {} to {}", low, high));
    return low;
  }
  return node->as_integer()->get();
}

double RecipeTable::number(std::string_view key, double absent, double low, double high) {
  const toml::node* node = find(key);
  if (node == nullptr) return absent;
  const std::optional<double> value = node->is_number() ? node->value<double>() : std::nullopt;
  if (!value || !(*value >= low && *value <= high)) {
    fail(key, fmt::format("a number from {} to {}", low, high));
    return absent;
  }
  return *value;
}

std::vector<std::string> RecipeTable::texts(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return {};
  if (node->is_string() && !node->as_string()->get().empty()) return {node->as_string()->get()};
  std::vector<std::string> out;
  if (const toml::array* array = node->as_array())
    for (const toml::node& element : *array)
      if (element.is_string() && !element.as_string()->get().empty()) out.push_back(element.as_string()->get());
  if (!node->is_array() || out.size() != node->as_array()->size() || out.empty()) fail(key, "a list of strings");
  return out;
}

int RecipeTable::choice(std::string_view key, int absent, const std::vector<std::string_view>& choices) {
  const toml::node* node = find(key);
  if (node == nullptr) return absent;
  if (node->is_string())
    for (std::size_t i = 0; i < choices.size(); ++i)
      if (choices[i] == node->as_string()->get()) return static_cast<int>(i);
  std::string expected = "one of";
  for (const std::string_view name : choices) expected += fmt::format(" \"{}\"", name);
  fail(key, expected);
  return absent;
}

const toml::table* RecipeTable::table(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return nullptr;
  if (!node->is_table()) fail(key, "a table");
  return node->as_table();
}

std::vector<const toml::table*> RecipeTable::tables(std::string_view key) {
  const toml::node* node = find(key);
  std::vector<const toml::table*> out;
  if (node == nullptr) return out;
  if (const toml::array* array = node->as_array())
    for (const toml::node& element : *array)
      if (element.is_table()) out.push_back(element.as_table());
  if (!node->is_array() || out.size() != node->as_array()->size()) fail(key, fmt::format("[[{}]] tables", key));
  return out;
}

Status RecipeTable::finish() {
  if (error_) return *error_;
  for (const toml::table* table : {&table_, defaults_}) {
    if (table == nullptr) continue;
    for (const auto& [key, node] : *table)
      if (!asked_.contains(key.str()))
        return Error{ErrorKind::invalid, fmt::format("{}: unknown key {}{}: expected one of {}", subject_, key.str(),
                                                     place_of(key.source()), fmt::join(asked_, ", "))};
  }
  return Done{};
}

}  // namespace hadal
