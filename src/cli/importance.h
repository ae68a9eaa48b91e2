// How much each input of each matrix matters: the mean square of what meets it while the model reads a text.
//
// An error of a weight is multiplied by its input, so a quantiser that weighs errors by these squares keeps the model's
// answers better than one that weighs all alike. One thread; the model's pool works.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <vector>

#include "base/progress.h"
#include "chat/model_files.h"
#include "spec/tensor_table.h"

namespace hadal {

class Importance {
 public:
  // Reads `tokens` in windows of at most 512.
  static Result<Importance> measure(const WeightModel& model, std::span<const TokenId> tokens, ProgressSink progress);

  // [inputs] of a matrix; empty: its inputs were not seen (embedding, head, router, vectors). An expert that few tokens
  // chose leans on the mean of its layer.
  std::vector<float> of(const TensorSpec& tensor) const;

 private:
  enum class Input { attention, query, latent, attention_out, ffn, act, expert, expert_act };
  struct Sums {
    std::vector<double> squares;
    std::int64_t rows = 0;
  };
  using Key = std::tuple<int, Input, int>;  // layer, which, expert (-1: of all)

  void see(int layer, int rows, const BlockActivations& a, const ModelConfig& config);
  void add(int layer, Input input, int expert, const float* row, int n);

  std::map<Key, Sums> sums_;
};

}  // namespace hadal
