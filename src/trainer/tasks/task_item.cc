#include "trainer/tasks/task_item.h"

#include <utility>

#include "base/json.h"

namespace hadal {
namespace {

using nlohmann::json;

Error bad_field(std::string_view where, std::string_view field, std::string_view expected, const json& found) {
  return Error{ErrorKind::invalid, std::string(where) + ": field \"" + std::string(field) + "\": expected " +
                                       std::string(expected) + ", found " + found.type_name()};
}

// Sets `text` from a string field; an absent field is an error only if `required`.
Status take_text(const json& object, std::string_view where, const char* field, std::string* text, bool required) {
  const auto at = object.find(field);
  if (at == object.end()) {
    if (!required) return Done{};
    return Error{ErrorKind::invalid,
                 std::string(where) + ": field \"" + field + "\": expected a string, found no such field"};
  }
  if (!at->is_string()) return bad_field(where, field, "a string", *at);
  *text = at->get<std::string>();
  return Done{};
}

}  // namespace

Result<TaskItem> parse_task_item(std::string_view line, std::string_view where) {
  HADAL_ASSIGN(const json object, parse_json(line, where));
  if (!object.is_object()) {
    return Error{ErrorKind::invalid, std::string(where) + ": expected a JSON object, found " + object.type_name()};
  }
  TaskItem item;
  HADAL_RETURN_IF_ERROR(take_text(object, where, "task", &item.task, true));
  HADAL_RETURN_IF_ERROR(take_text(object, where, "question", &item.question, true));
  HADAL_RETURN_IF_ERROR(take_text(object, where, "answer", &item.answer, true));
  HADAL_RETURN_IF_ERROR(take_text(object, where, "lang", &item.lang, false));
  HADAL_RETURN_IF_ERROR(take_text(object, where, "template", &item.template_id, false));
  if (object.contains("meta")) item.meta = object["meta"];
  if (const auto steps = object.find("steps"); steps != object.end()) {
    if (!steps->is_array()) return bad_field(where, "steps", "an array of strings", *steps);
    for (const json& step : *steps) {
      if (!step.is_string()) return bad_field(where, "steps", "an array of strings", step);
      item.steps.push_back(step.get<std::string>());
    }
  }
  if (const auto given = object.find("answer_given"); given != object.end()) {
    if (!given->is_string()) return bad_field(where, "answer_given", "a string", *given);
    item.answer_given = given->get<std::string>();
  }
  if (const auto right = object.find("right"); right != object.end() && right->is_boolean()) {
    item.right = right->get<bool>();
  }
  return item;
}

std::string write_task_item(const TaskItem& item) {
  nlohmann::ordered_json object;
  object["task"] = item.task;
  if (!item.template_id.empty()) {
    object["lang"] = item.lang;
    object["template"] = item.template_id;
  }
  object["question"] = item.question;
  object["answer"] = item.answer;
  if (!item.steps.empty()) object["steps"] = item.steps;
  if (!item.meta.is_null()) object["meta"] = item.meta;
  if (item.answer_given) object["answer_given"] = *item.answer_given;
  if (item.right) object["right"] = *item.right;
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Result<TaskReader> TaskReader::open(const std::string& path) {
  HADAL_ASSIGN(LineReader lines, LineReader::open(path));
  return TaskReader(std::move(lines));
}

Result<std::optional<TaskItem>> TaskReader::next() {
  HADAL_ASSIGN(const bool more, lines_.next());
  if (!more) return std::optional<TaskItem>();
  HADAL_ASSIGN(TaskItem item, parse_task_item(lines_.line(), lines_.where()));
  return std::optional<TaskItem>(std::move(item));
}

Result<std::vector<TaskItem>> read_task_file(const std::string& path, std::size_t limit) {
  HADAL_ASSIGN(TaskReader reader, TaskReader::open(path));
  std::vector<TaskItem> items;
  while (items.size() < limit) {
    HADAL_ASSIGN(std::optional<TaskItem> item, reader.next());
    if (!item) break;
    items.push_back(*std::move(item));
  }
  return items;
}

}  // namespace hadal
