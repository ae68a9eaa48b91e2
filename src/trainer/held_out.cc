#include "trainer/held_out.h"

#include <numeric>

#include "trainer/batch_stream.h"

namespace hadal {

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
    HADAL_ASSIGN(std::vector<TaskItem> questions, read_task_file(path.string(), static_cast<std::size_t>(items)));
    held_out.files_.push_back({held_out_name(path), std::move(questions)});
    const File& file = held_out.files_.back();
    TrainingBatch batch;
    for (const TaskItem& item : file.items) {
      const Result<WorkedExample> worked = work_out(item);
      if (!worked.ok()) continue;
      HADAL_ASSIGN(const TrainingExample example, encoder.encode(QuestionText{item.question, *worked}));
      if (static_cast<int>(example.tokens.size()) <= max_tokens) append_example(example, TrainOn::answers, batch);
    }
    if (!batch.tokens.empty()) held_out.batches_[file.name] = std::move(batch);
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
