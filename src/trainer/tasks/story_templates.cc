// Reading templates.json, drawing values, filling slots.
#include "trainer/tasks/story_templates.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

namespace hadal {

using nlohmann::json;

int story_split(std::string_view template_id, const std::vector<std::int64_t>& values) {
  std::string key(template_id);
  for (std::size_t i = 0; i < values.size(); ++i) key += (i == 0 ? "|" : ",") + std::to_string(values[i]);
  return static_cast<int>(fnv1a(key) % 10);
}

// ---- expressions -------------------------------------------------------------------------------------------------

namespace {

using Values = std::map<std::string, std::int64_t, std::less<>>;

// Precedence climbing over C's binary operators; depth is bounded, since a template is a file.
class TemplateExpression {
 public:
  TemplateExpression(std::string_view text, const Values& values) : text_(text), values_(values) {}

  Result<std::int64_t> evaluate() {
    const std::int64_t value = binary(0, 0);
    skip_spaces();
    if (problem_.empty() && at_ != text_.size()) problem_ = "an operator";
    if (!problem_.empty()) {
      return Error{ErrorKind::invalid, "template expression \"" + std::string(text_) + "\": expected " + problem_ +
                                           " at character " + std::to_string(at_ + 1)};
    }
    return value;
  }

 private:
  struct Operator {
    std::string_view sign;
    int precedence;
  };
  static constexpr Operator kOperators[] = {{"==", 1}, {"!=", 1}, {"<=", 2}, {">=", 2}, {"<", 2}, {">", 2},
                                            {"+", 3},  {"-", 3},  {"*", 4},  {"/", 4},  {"%", 4}};

  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }

  const Operator* peek_operator() {
    skip_spaces();
    for (const Operator& op : kOperators) {
      if (text_.substr(at_).starts_with(op.sign)) return &op;
    }
    return nullptr;
  }

  std::int64_t binary(int min_precedence, int depth) {
    std::int64_t left = primary(depth);
    while (problem_.empty()) {
      const Operator* op = peek_operator();
      if (op == nullptr || op->precedence <= min_precedence) return left;
      at_ += op->sign.size();
      const std::int64_t right = binary(op->precedence, depth + 1);
      left = apply(op->sign, left, right);
    }
    return left;
  }

  std::int64_t apply(std::string_view sign, std::int64_t x, std::int64_t y) {
    if (sign == "==") return x == y;
    if (sign == "!=") return x != y;
    if (sign == "<=") return x <= y;
    if (sign == ">=") return x >= y;
    if (sign == "<") return x < y;
    if (sign == ">") return x > y;
    std::int64_t value = 0;
    bool overflow = false;
    if (sign == "+") {
      overflow = __builtin_add_overflow(x, y, &value);
    } else if (sign == "-") {
      overflow = __builtin_sub_overflow(x, y, &value);
    } else if (sign == "*") {
      overflow = __builtin_mul_overflow(x, y, &value);
    } else if (y == 0 || y == -1) {
      problem_ = "a positive divisor";
    } else {
      value = sign == "/" ? x / y : x % y;
    }
    if (overflow) problem_ = "values that fit 64 bits";
    return value;
  }

  std::int64_t primary(int depth) {
    constexpr int kMaxDepth = 64;
    skip_spaces();
    if (depth > kMaxDepth) problem_ = "fewer parentheses";
    if (!problem_.empty()) return 0;
    if (at_ < text_.size() && text_[at_] == '(') {
      ++at_;
      const std::int64_t value = binary(0, depth + 1);
      skip_spaces();
      if (problem_.empty() && (at_ >= text_.size() || text_[at_] != ')')) problem_ = "a closing parenthesis";
      ++at_;
      return value;
    }
    const std::size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '_'))
      ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    if (word.empty() || word.size() > 18) {
      problem_ = "a number or a name";
      return 0;
    }
    if (std::isdigit(static_cast<unsigned char>(word.front())) != 0)
      return std::strtoll(std::string(word).c_str(), nullptr, 10);
    const auto value = values_.find(word);
    if (value == values_.end()) {
      problem_ = "a known name instead of \"" + std::string(word) + "\"";
      return 0;
    }
    return value->second;
  }

  std::string_view text_;
  const Values& values_;
  std::size_t at_ = 0;
  std::string problem_;
};

// What may go wrong in the file; nlohmann throws for a missing field or a wrong type, and parse() catches.
template <class T>
T field(const json& object, const char* name) {
  return object.at(name).get<T>();
}

}  // namespace

Result<std::int64_t> evaluate_template_expression(std::string_view text, const Values& values) {
  return TemplateExpression(text, values).evaluate();
}

// ---- the file ----------------------------------------------------------------------------------------------------

Result<StoryTemplates> StoryTemplates::load(const std::string& path) {
  HADAL_ASSIGN(const std::string text, read_text_file(path));
  return parse(text, path);
}

Result<StoryTemplates> StoryTemplates::parse(std::string_view json_text, std::string_view where) {
  StoryTemplates stories;
  try {
    HADAL_ASSIGN(const json root, parse_json(json_text, where));
    if (field<int>(root, "version") != 1) {
      return Error{ErrorKind::unsupported,
                   std::string(where) + ": version: expected 1, found " + root["version"].dump()};
    }
    stories.languages_ = field<std::vector<std::string>>(root, "languages");
    for (const std::string& lang : stories.languages_) {
      stories.names_[lang] = root.at("names").at(lang).get<std::vector<Word>>();
      stories.objects_[lang] = root.at("objects").at(lang).get<std::vector<Word>>();
    }
    for (const json& entry : root.at("templates")) {
      Template story;
      story.id = field<std::string>(entry, "id");
      for (const json& v : entry.at("variables")) {
        story.variables.push_back({field<std::string>(v, "name"), field<std::int64_t>(v, "min"),
                                   field<std::int64_t>(v, "max"), field<std::int64_t>(v, "step")});
        const Variable& added = story.variables.back();
        if (added.step <= 0 || added.max < added.min) {
          return Error{ErrorKind::invalid, std::string(where) + ": template " + story.id + ": variable " + added.name +
                                               ": expected step > 0 and min <= max, found others"};
        }
      }
      for (const json& d : entry.at("derived")) {
        story.derived.emplace_back(field<std::string>(d, "name"), field<std::string>(d, "value"));
      }
      story.constraints = field<std::vector<std::string>>(entry, "constraints");
      story.steps = field<std::vector<std::string>>(entry, "steps");
      story.text = entry.at("text").get<std::map<std::string, std::vector<std::string>, std::less<>>>();
      stories.templates_.push_back(std::move(story));
    }
  } catch (const json::exception& problem) {
    return Error{ErrorKind::invalid,
                 std::string(where) + ": expected the templates of word problems, found: " + problem.what()};
  }
  if (stories.templates_.empty()) {
    return Error{ErrorKind::invalid, std::string(where) + ": templates: expected one or more, found none"};
  }
  return stories;
}

// ---- problems ----------------------------------------------------------------------------------------------------

Result<Values> StoryTemplates::draw_values(const Template& story, Rng& rng) const {
  constexpr int kMaxDraws = 100'000;  // the strictest template takes about a hundred
  for (int draw = 0; draw < kMaxDraws; ++draw) {
    Values values;
    std::vector<std::int64_t> drawn;
    for (const Variable& variable : story.variables) {
      const std::int64_t last = (variable.max - variable.min) / variable.step;
      drawn.push_back(variable.min + variable.step * rng.next_in(0, last));
      values[variable.name] = drawn.back();
    }
    if (story_split(story.id, drawn) >= kTrainingSplits) continue;
    for (const auto& [name, expression] : story.derived) {
      HADAL_ASSIGN(values[name], evaluate_template_expression(expression, values));
    }
    bool allowed = true;
    for (const std::string& constraint : story.constraints) {
      HADAL_ASSIGN(const std::int64_t holds, evaluate_template_expression(constraint, values));
      allowed = allowed && holds != 0;
    }
    if (allowed) return values;
  }
  return Error{ErrorKind::invalid, "template " + story.id +
                                       ": expected constraints that some values meet, found none in " +
                                       std::to_string(kMaxDraws) + " draws"};
}

Result<TaskItem> StoryTemplates::make(std::string_view lang, Rng& rng) const {
  const Template& story = templates_[rng.next_below(templates_.size())];
  const auto texts = story.text.find(lang);
  if (texts == story.text.end() || texts->second.empty()) {
    return Error{ErrorKind::not_found,
                 "template " + story.id + ": expected a text in \"" + std::string(lang) + "\", found none"};
  }
  HADAL_ASSIGN(Values values, draw_values(story, rng));
  const bool from_parts = parts_.has(story.id, lang) && rng.next_below(2) == 0;
  std::string text =
      from_parts ? parts_.wording(story.id, lang, rng) : texts->second[rng.next_below(texts->second.size())];
  if (!from_parts && rng.next_below(8) == 0) text = parts_.behind_an_aside(std::move(text), lang, rng);
  values["n"] = rng.next_in(2, 99);  // of an aside
  TaskItem item;
  item.task = "word_problems";
  item.lang = lang;
  item.template_id = story.id;
  HADAL_ASSIGN(const std::string filled, fill(text, lang, values, rng));
  item.question = finish_wording(filled);
  for (std::size_t i = 0; i < story.steps.size(); ++i) {
    const std::string& step = story.steps[i];
    HADAL_ASSIGN(const std::int64_t result, evaluate_template_expression(step, values));
    const std::size_t at = step.find_first_of("+-*/");
    if (at == std::string::npos) {
      return Error{ErrorKind::invalid,
                   "template " + story.id + ": step \"" + step + "\": expected one operation, found none"};
    }
    HADAL_ASSIGN(const std::int64_t x, evaluate_template_expression(step.substr(0, at), values));
    HADAL_ASSIGN(const std::int64_t y, evaluate_template_expression(step.substr(at + 1), values));
    item.steps.push_back(std::to_string(x) + step[at] + std::to_string(y) + "=" + std::to_string(result));
    values["s" + std::to_string(i + 1)] = result;
    item.answer = std::to_string(result);
  }
  return item;
}

Result<std::string> StoryTemplates::fill(std::string_view text, std::string_view lang, const Values& values,
                                         Rng& rng) const {
  std::map<std::string, const Word*, std::less<>> chosen;  // "name1" -> its word; different words for different numbers
  std::string filled;
  while (!text.empty()) {
    const std::size_t open = text.find('{');
    filled += text.substr(0, open);
    if (open == std::string_view::npos) break;
    const std::size_t close = text.find('}', open);
    if (close == std::string_view::npos) {
      return Error{ErrorKind::invalid, "template text: expected a closing brace, found none"};
    }
    std::string slot(text.substr(open + 1, close - open - 1));
    text.remove_prefix(close + 1);
    if (const auto value = values.find(slot); value != values.end()) {
      filled += std::to_string(value->second);
      continue;
    }
    std::string form = "base";
    if (const std::size_t colon = slot.find(':'); colon != std::string::npos) {
      form = slot.substr(colon + 1);
      slot.resize(colon);
    }
    const bool is_name = slot.starts_with("name");
    const Words& lists = is_name ? names_ : objects_;
    const auto list = lists.find(lang);
    if ((!is_name && !slot.starts_with("obj")) || list == lists.end() || list->second.size() < 4) {
      return Error{ErrorKind::invalid,
                   "template text: slot {" + slot + "}: expected a value, a name or an object, found none"};
    }
    for (int tries = 0; !chosen.contains(slot); ++tries) {
      if (tries == 10000)
        return Error{ErrorKind::invalid, "template text: slot {" + slot +
                                             "}: expected another word, the list has only " +
                                             std::to_string(list->second.size())};
      const Word* word = &list->second[rng.next_below(list->second.size())];
      const bool taken = std::any_of(chosen.begin(), chosen.end(), [word](const auto& c) { return c.second == word; });
      if (!taken) chosen[slot] = word;
    }
    const auto word = chosen[slot]->find(form);
    if (word == chosen[slot]->end()) {
      return Error{ErrorKind::invalid,
                   "template text: slot {" + slot + ":" + form + "}: expected that form, found none"};
    }
    filled += word->second;
  }
  return filled;
}

}  // namespace hadal
