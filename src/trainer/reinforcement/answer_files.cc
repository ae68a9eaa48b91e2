#include "trainer/reinforcement/answer_files.h"

#include <string_view>
#include <system_error>
#include <vector>

#include "base/atomic_file.h"
#include "base/json.h"

namespace hadal {
namespace {

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Status write_lines(const std::filesystem::path& file, const std::string& lines) {
  std::error_code error;  // shows when the file is written
  std::filesystem::create_directories(file.parent_path(), error);
  return write_file_atomically(file, lines);
}

}  // namespace

Status write_kept_answers(const std::filesystem::path& file, std::span<const ReinforcementStage::Kept> kept) {
  std::string lines;
  for (const ReinforcementStage::Kept& k : kept) {
    Json line = {{"messages",
                  {{{"role", "user"}, {"content", k.question}},
                   {{"role", "assistant"}, {"content", k.answer}, {"reasoning_content", k.reasoning}}}}};
    if (k.answer_by_letters) line["answer_by_letters"] = true;
    lines += line_of(line);
  }
  return write_lines(file, lines);
}

Result<std::map<std::string, double>> measure_answers(ReinforcementStage& stage, const HeldOut& held_out,
                                                      const std::filesystem::path& file) {
  std::vector<TaskItem> items;
  std::vector<std::string_view> names;  // of their files
  for (const HeldOut::File& of : held_out.files())
    for (const TaskItem& item : of.items) {
      items.push_back(item);
      names.push_back(of.name);
    }
  HADAL_ASSIGN(const std::vector<ReinforcementStage::Answered> answered, stage.answers(items));
  std::map<std::string, double> right, asked;
  std::string lines;
  for (const ReinforcementStage::Answered& a : answered) {
    const std::string name(names[a.item]);
    right[name] += a.right;
    asked[name] += 1;
    lines += line_of({{"task", items[a.item].task},
                      {"question", items[a.item].question},
                      {"reasoning", a.text.reasoning},
                      {"answer", a.text.answer},
                      {"right", a.right}});
  }
  for (auto& [name, count] : right) count /= asked[name];
  HADAL_RETURN_IF_ERROR(write_lines(file, lines));
  return right;
}

}  // namespace hadal
