// Typed access to the keys of one TOML table; what nobody asked for is an error at the end.
//
// Internal to recipe.cc. The first error is kept and further calls give defaults, so that reading a table is a plain
// list of keys; finish() reports. One thread.
#pragma once

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hadal {

class RecipeTable {
 public:
  // `subject`: "abyss.toml: stage[0]".
  // A key that `table` does not have is taken from `defaults`.
  RecipeTable(const toml::table& table, std::string subject, const toml::table* defaults = nullptr)
      : table_(table), defaults_(defaults), subject_(std::move(subject)) {}

  bool has(std::string_view key) { return find(key) != nullptr; }
  bool is_text(std::string_view key) { return has(key) && get(key)->is_string(); }
  std::string text(std::string_view key, std::optional<std::string> absent);
  bool flag(std::string_view key, bool absent);
  std::int64_t integer(std::string_view key, std::optional<std::int64_t> absent, std::int64_t low, std::int64_t high);
  double number(std::string_view key, double absent, double low, double high);  // integers count as numbers
  std::vector<std::string> texts(std::string_view key);  // a string, or an array of strings; absent: none
  // One of `choices`; gives its index.
  int choice(std::string_view key, int absent, const std::vector<std::string_view>& choices);
  const toml::table* table(std::string_view key);
  std::vector<const toml::table*> tables(std::string_view key);  // [[key]]

  void fail(std::string_view key, std::string_view expected);  // with what was found
  void fail_with(Error error);
  const std::string& subject() const { return subject_; }
  // " (line 12)": of a key, or of the table itself where it has no such key; with the file where it is an included one.
  std::string place(std::string_view key = {}) const;
  // The first error; otherwise a key that nobody asked for.
  Status finish();

 private:
  const toml::node* get(std::string_view key) const;
  const toml::node* find(std::string_view key);
  std::string place_of(const toml::source_region& source) const;

  const toml::table& table_;
  const toml::table* defaults_;
  std::string subject_;
  std::set<std::string, std::less<>> asked_;
  std::optional<Error> error_;
};

// A TOML value on one line, cut, for messages.
std::string toml_excerpt(const toml::node& node);

}  // namespace hadal
