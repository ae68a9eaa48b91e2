#include "trainer/held_out.h"

#include <numeric>

#include "trainer/batch_stream.h"
#include "trainer/tasks/task_item.h"

namespace hadal {

Result<HeldOut> HeldOut::open(std::span<const std::filesystem::path> files, int items, int max_tokens,
                              const ExampleEncoder& encoder) {
  HeldOut held_out;
  for (const std::filesystem::path& file : files) {
    HADAL_ASSIGN(const std::vector<TaskItem> questions, read_task_file(file.string(), static_cast<std::size_t>(items)));
    TrainingBatch batch;
    for (const TaskItem& item : questions) {
      const Result<WorkedExample> worked = work_out(item);
      if (!worked.ok()) continue;
      HADAL_ASSIGN(const TrainingExample example, encoder.encode(QuestionText{item.question, *worked}));
      if (static_cast<int>(example.tokens.size()) <= max_tokens) append_example(example, TrainOn::answers, batch);
    }
    const std::string name = file.filename().string();
    if (!batch.tokens.empty()) held_out.batches_[name.substr(0, name.find('.'))] = std::move(batch);
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
