#include "trainer/held_out.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "text/utf8.h"
#include "trainer/batch_stream.h"
#include "trainer/tasks/judge.h"

namespace hadal {
namespace {

bool is_task_file(const std::filesystem::path& path) {
  return path.filename().string().find(".jsonl") != std::string::npos;
}

constexpr std::size_t kRowsAtOnce = 8192;  // about a training batch, whose workspace there is anyway

using Batches = std::vector<TrainingBatch>;

void append(const TrainingExample& example, TrainOn train_on, Batches& batches) {
  if (batches.empty() || batches.back().tokens.size() + example.tokens.size() > kRowsAtOnce) batches.emplace_back();
  append_example(example, train_on, batches.back());
}

Result<Batches> answers_of(std::span<const TaskItem> questions, int max_tokens, const ExampleEncoder& encoder) {
  Batches batches;
  for (const TaskItem& item : questions) {
    const Result<WorkedExample> worked = work_out(item);
    if (!worked.ok()) continue;  // it can be asked all the same
    HADAL_ASSIGN(const TrainingExample example, encoder.encode(QuestionText{item.question, *worked}));
    if (static_cast<int>(example.tokens.size()) <= max_tokens) append(example, TrainOn::answers, batches);
  }
  return batches;
}

Batches pieces_of(std::string text, int items, int max_tokens, const ExampleEncoder& encoder) {
  const std::vector<TrainingExample> pieces = encoder.encode(DocumentText{std::move(text), true, {}}, max_tokens);
  const std::size_t wanted = std::min(pieces.size(), static_cast<std::size_t>(items));
  Batches batches;
  for (std::size_t i = 0; i < wanted; ++i) append(pieces[i * pieces.size() / wanted], TrainOn::all, batches);
  return batches;
}

Result<QuestionFilter> filter_from(const std::filesystem::path& list) {
  return list.empty() ? QuestionFilter() : QuestionFilter::load(list.string());
}

}  // namespace

std::string held_out_name(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  return name.substr(0, name.find('.'));
}

Result<HeldOut> HeldOut::open(std::span<const std::filesystem::path> files, int items, int max_tokens,
                              const ExampleEncoder& encoder) {
  HeldOut held_out;
  for (const std::filesystem::path& path : files) {
    std::error_code none;
    if (!std::filesystem::exists(path, none)) {
      held_out.absent_.push_back(path);
      continue;
    }
    Batches batches;
    if (is_task_file(path)) {
      HADAL_ASSIGN(std::vector<TaskItem> questions, read_task_file(path.string(), static_cast<std::size_t>(items)));
      for (const TaskItem& item : questions)
        HADAL_RETURN_IF_ERROR(
            check_judged(item.task, item.answer, item.meta,
                         fmt::format("{}: {}", path.filename().string(), json_excerpt(Json(item.question)))));
      std::erase_if(questions, [](const TaskItem& item) { return !judge_rule(item.task); });
      HADAL_ASSIGN(batches, answers_of(questions, max_tokens, encoder));
      if (!questions.empty()) held_out.files_.push_back({held_out_name(path), std::move(questions)});
    } else {
      HADAL_ASSIGN(std::string text, read_text_file(path));
      HADAL_RETURN_IF_ERROR(check_utf8(path.filename().string(), text));
      batches = pieces_of(std::move(text), items, max_tokens, encoder);
    }
    if (!batches.empty()) held_out.batches_[held_out_name(path)] = std::move(batches);
  }
  return held_out;
}

std::map<std::string, double> HeldOut::losses(TrainingModel& model) const {
  std::map<std::string, double> losses;
  for (const auto& [name, batches] : batches_) {
    double sum = 0;
    std::int64_t counted = 0;
    for (const TrainingBatch& batch : batches) {
      const std::vector<float> nll_T = model.negative_log_likelihoods(batch);
      sum = std::accumulate(nll_T.begin(), nll_T.end(), sum);
      counted += std::count_if(batch.targets.begin(), batch.targets.end(), [](std::int32_t t) { return t >= 0; });
    }
    losses[name] = sum / static_cast<double>(std::max<std::int64_t>(1, counted));
  }
  return losses;
}

Result<QuestionFilter> held_out_questions(const std::filesystem::path& list,
                                          std::span<const std::filesystem::path> files) {
  HADAL_ASSIGN(QuestionFilter filter, filter_from(list));
  for (const std::filesystem::path& path : files) {
    std::error_code none;
    if (!is_task_file(path) || !std::filesystem::exists(path, none)) continue;
    HADAL_ASSIGN(TaskReader reader, TaskReader::open(path.string()));
    for (;;) {
      HADAL_ASSIGN(const std::optional<TaskItem> item, reader.next());
      if (!item) break;
      filter.add(*item);
    }
  }
  return filter;
}

double mean_of(const std::map<std::string, double>& losses) {
  double sum = 0;
  for (const auto& [name, loss] : losses) sum += loss;
  return losses.empty() ? 0 : sum / static_cast<double>(losses.size());
}

}  // namespace hadal
