// metrics.jsonl: one JSON object a training step, as it happens; and the same file read back for the report.
//
// Appended and flushed each step, so that it can be followed (tail -f). A resumed run first drops the steps that its
// checkpoint has not seen. One thread at a time.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace hadal {

// Of a step of reinforcement: all its answers, also of groups that taught nothing.
struct ReinforcementMetrics {
  double reward = 0, accuracy = 0, in_form = 0, language = 0;  // means over answers
  double answer_tokens = 0, cut = 0;                           // mean length; share that did not end
  // Over learned tokens: entropy (of drawn tokens' own probability), KL divergence to the reference, share clipped, and
  // how far the trainer's log-probability is from the engine's at the first update; over answers: share left out.
  double entropy = 0, kl = 0, clipped = 0, mismatch = 0, masked = 0;
  int groups_tried = 0, groups_kept = 0;
  double rollout_seconds = 0, update_seconds = 0;
  double rollout_tokens_per_second = 0, update_tokens_per_second = 0;  // drawn tokens; rows learned from
  std::map<std::string, double> accuracy_by_source, weight_by_source;
  std::map<std::string, double> held_out_accuracy;  // by file, on steps where it was measured
};

struct StepMetrics {
  std::int64_t step = 0, tokens = 0;  // over all stages, this step included
  std::string stage;
  double loss = 0, balance_loss = 0, mtp_loss = 0, gradient_norm = 0, learning_rate = 0;
  double seconds = 0;  // of training up to here, over all resumptions
  double tokens_per_second = 0, gflops = 0;
  double max_load = 0,
         recent_max_load = 0;  // the worst layer's largest over its mean: of this step, of RecentLoad; 0: none
  std::map<std::string, double> held_out = {};  // mean loss by file, on steps where it was measured
  std::optional<ReinforcementMetrics> reinforcement = std::nullopt;

  // False: a measurement at the end of a stage.
  bool is_a_step() const { return !reinforcement || reinforcement->groups_tried > 0; }
  // False: besides, a step of reinforcement in which no group differed, so that nothing was learned.
  bool has_loss() const { return !reinforcement || reinforcement->groups_kept > 0; }
};

class MetricsLog {
 public:
  // Keeps the lines of steps up to `last_step`; 0 starts anew. `measures_again`: but for a measurement after that step,
  // which the resumed run will make once more.
  static Result<MetricsLog> open(const std::filesystem::path& path, std::int64_t last_step, bool measures_again);
  Status append(const StepMetrics& metrics);
  // What open() kept.
  const std::vector<StepMetrics>& earlier() const { return earlier_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::vector<StepMetrics> earlier_;
  std::string subject_;
  std::unique_ptr<std::FILE, Close> file_;
};

// A half-written last line (kill -9) is passed over. No such file: no steps.
Result<std::vector<StepMetrics>> read_metrics(const std::filesystem::path& path);

}  // namespace hadal
