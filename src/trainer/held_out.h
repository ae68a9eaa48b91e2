// Held-out loss: the mean negative log-likelihood of reasoning and answer over the first questions of some files.
//
// It says whether learning goes on, not how many answers are right (`hadal eval` does). One thread at a time.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/example.h"
#include "trainer/training_model.h"

namespace hadal {

class HeldOut {
 public:
  // `items` of each file; those longer than max_tokens are passed over.
  static Result<HeldOut> open(std::span<const std::filesystem::path> files, int items, int max_tokens,
                              const ExampleEncoder& encoder);

  // Mean loss a target, by the file's name up to its first point.
  std::map<std::string, double> losses(TrainingModel& model) const;

 private:
  std::map<std::string, TrainingBatch> batches_;
};

double mean_of(const std::map<std::string, double>& losses);

}  // namespace hadal
