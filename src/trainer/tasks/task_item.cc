// Task lines from JSON, and files of them through zlib (which reads plain files as they are).
#include "trainer/tasks/task_item.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <zlib.h>

namespace hadal {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxLineBytes =
    16u << 20;  // a question is a few hundred bytes; this stops a file without line breaks

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
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) {
    return Error{ErrorKind::invalid, std::string(where) + ": expected a JSON object, found text that is no JSON"};
  }
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

struct TaskReader::Source {
  explicit Source(gzFile opened) : file(opened) {}
  ~Source() { gzclose(file); }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  gzFile file;
  std::array<char, 1 << 16> buffer{};
  std::size_t begin = 0;
  std::size_t end = 0;
};

TaskReader::TaskReader(std::string path, std::unique_ptr<Source> source)
    : path_(std::move(path)), source_(std::move(source)) {}
TaskReader::TaskReader(TaskReader&&) noexcept = default;
TaskReader& TaskReader::operator=(TaskReader&&) noexcept = default;
TaskReader::~TaskReader() = default;

Result<TaskReader> TaskReader::open(const std::string& path) {
  errno = 0;
  const gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) {
    const bool absent = errno == ENOENT;
    return Error{absent ? ErrorKind::not_found : ErrorKind::io,
                 path + ": expected a task file, found: " + (errno != 0 ? std::strerror(errno) : "no memory")};
  }
  return TaskReader(path, std::make_unique<Source>(file));
}

Result<bool> TaskReader::read_line() {
  line_.clear();
  ++line_number_;
  Source& source = *source_;
  for (;;) {
    if (source.begin == source.end) {
      const int n = gzread(source.file, source.buffer.data(), static_cast<unsigned>(source.buffer.size()));
      int code = Z_OK;
      const char* message = gzerror(source.file, &code);
      if (n < 0 || (code != Z_OK && code != Z_STREAM_END)) {
        // A gzip file cut short reads as far as it goes and then says so here.
        const char* found = code == Z_ERRNO ? std::strerror(errno) : message;
        return Error{ErrorKind::io, path_ + ":" + std::to_string(line_number_) +
                                        ": expected more of the file, found: " + std::string(found)};
      }
      if (n == 0) return !line_.empty();
      source.begin = 0;
      source.end = static_cast<std::size_t>(n);
    }
    const char* from = source.buffer.data() + source.begin;
    const std::size_t available = source.end - source.begin;
    const void* const line_break = std::memchr(from, '\n', available);
    const std::size_t n =
        line_break == nullptr ? available : static_cast<std::size_t>(static_cast<const char*>(line_break) - from);
    line_.append(from, n);
    source.begin += n + (line_break != nullptr ? 1 : 0);
    if (line_.size() > kMaxLineBytes) {
      return Error{ErrorKind::invalid, path_ + ":" + std::to_string(line_number_) + ": expected a line of at most " +
                                           std::to_string(kMaxLineBytes) + " bytes, found a longer one"};
    }
    if (line_break != nullptr) return true;
  }
}

Result<std::optional<TaskItem>> TaskReader::next() {
  for (;;) {
    HADAL_ASSIGN(const bool more, read_line());
    if (!more) return std::optional<TaskItem>();
    if (line_.find_first_not_of(" \t\r") == std::string::npos) continue;
    HADAL_ASSIGN(TaskItem item, parse_task_item(line_, path_ + ":" + std::to_string(line_number_)));
    return std::optional<TaskItem>(std::move(item));
  }
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
