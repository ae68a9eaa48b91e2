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
#include <string>
#include <vector>

#include "base/result.h"

namespace hadal {

struct StepMetrics {
  std::int64_t step = 0, tokens = 0;  // over all stages, this step included
  std::string stage;
  double loss = 0, balance_loss = 0, mtp_loss = 0, gradient_norm = 0, learning_rate = 0;
  double seconds = 0;  // of training up to here, over all resumptions
  double tokens_per_second = 0, gflops = 0;
  double max_load = 0;                     // the worst layer's largest over its mean
  std::map<std::string, double> held_out;  // mean loss by file, on steps where it was measured
};

class MetricsLog {
 public:
  // Keeps the lines of steps up to `last_step`; 0 starts anew.
  static Result<MetricsLog> open(const std::filesystem::path& path, std::int64_t last_step);
  Status append(const StepMetrics& metrics);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string subject_;
  std::unique_ptr<std::FILE, Close> file_;
};

// A half-written last line (kill -9) is passed over. No such file: no steps.
Result<std::vector<StepMetrics>> read_metrics(const std::filesystem::path& path);

}  // namespace hadal
