#include "trainer/held_out.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/file.h"
#include "text/utf8.h"
#include "trainer/batch_stream.h"

namespace hadal {
namespace {

bool is_task_file(const std::filesystem::path& path) {
  return path.filename().string().find(".jsonl") != std::string::npos;
}

Result<TrainingBatch> answers_of(std::span<const TaskItem> questions, int max_tokens, const ExampleEncoder& encoder) {
  TrainingBatch batch;
  for (const TaskItem& item : questions) {
    const Result<WorkedExample> worked = work_out(item);
    if (!worked.ok()) continue;
    HADAL_ASSIGN(const TrainingExample example, encoder.encode(QuestionText{item.question, *worked}));
    if (static_cast<int>(example.tokens.size()) <= max_tokens) append_example(example, TrainOn::answers, batch);
  }
  return batch;
}

TrainingBatch pieces_of(std::string text, int items, int max_tokens, const ExampleEncoder& encoder) {
  const std::vector<TrainingExample> pieces = encoder.encode(DocumentText{std::move(text), true, {}}, max_tokens);
  const std::size_t wanted = std::min(pieces.size(), static_cast<std::size_t>(items));
  TrainingBatch batch;
  for (std::size_t i = 0; i < wanted; ++i) append_example(pieces[i * pieces.size() / wanted], TrainOn::all, batch);
  return batch;
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
    TrainingBatch batch;
    if (is_task_file(path)) {
      HADAL_ASSIGN(std::vector<TaskItem> questions, read_task_file(path.string(), static_cast<std::size_t>(items)));
      HADAL_ASSIGN(batch, answers_of(questions, max_tokens, encoder));
      held_out.files_.push_back({held_out_name(path), std::move(questions)});
    } else {
      HADAL_ASSIGN(std::string text, read_text_file(path));
      HADAL_RETURN_IF_ERROR(check_utf8(path.filename().string(), text));
      batch = pieces_of(std::move(text), items, max_tokens, encoder);
    }
    if (!batch.tokens.empty()) held_out.batches_[held_out_name(path)] = std::move(batch);
  }
  return held_out;
}

std::map<std::string, double> HeldOut::losses(TrainingModel& model) const {
  std::map<std::string, double> losses;
  for (const auto& [name, batch] : batches_) {
    const std::vector<float> nll_T = model.negative_log_likelihoods(batch);
    std::int64_t counted = 0;
    for (const std::int32_t target : batch.targets) counted += target >= 0;
    losses[name] =
        std::accumulate(nll_T.begin(), nll_T.end(), 0.0) / static_cast<double>(std::max<std::int64_t>(1, counted));
  }
  return losses;
}

double mean_of(const std::map<std::string, double>& losses) {
  double sum = 0;
  for (const auto& [name, loss] : losses) sum += loss;
  return losses.empty() ? 0 : sum / static_cast<double>(losses.size());
}

}  // namespace hadal
