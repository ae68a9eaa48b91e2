// AdamW and Muon over flat parameters: clip, update, and leave the gradients at zero.
//
// AdamW (decoupled decay, on tensors of two or more dimensions) takes everything, or under Muon what is no hidden
// matrix: embedding, head, router, norms. Muon (MODELS.md 11.4, Moonlight's scale): M = mu M + g, update
// 0.2 sqrt(max(rows, cols)) NS(g + mu M), so that both move weights by about 0.2-0.4 of the learning rate.
// Results do not depend on the number of threads. One caller; the Compute's pool does the work.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/compute.h"
#include "trainer/muon.h"
#include "trainer/recipe.h"
#include "trainer/training_model.h"

namespace hadal {

struct OptimizerState {  // all that a resumed run needs besides the parameters
  OptimizerKind kind = OptimizerKind::adamw;
  std::int64_t steps = 0;
  std::vector<float> first;   // [parameters] mean of gradients, or Muon's momentum
  std::vector<float> second;  // mean of squares, of AdamW's slots only, one after another
};

class Optimizer {
 public:
  // `slots` must outlive the optimiser. State starts at zero. Tensors of layers from `first_resting_layer` on keep what
  // they have: without gradients momentum and decay alone would move them.
  Optimizer(const Compute& compute, std::span<const ParameterSlot> slots, OptimizerKind kind,
            int first_resting_layer = std::numeric_limits<int>::max());

  // The L2 norm over all trained gradients; not finite where one is not.
  double gradient_norm(std::span<const float> gradients);

  // One step at recipe.learning_rate * factor. `norm` is gradient_norm()'s; gradients are zero afterwards.
  void step(const OptimizerRecipe& recipe, double factor, double norm, std::span<float> parameters,
            std::span<float> gradients);

  const OptimizerState& state() const { return state_; }
  // False: of another kind or size.
  bool restore(OptimizerState state);

  static bool is_muon_matrix(const TensorSpec& tensor);

 private:
  struct Chunk {  // of one slot, for AdamW and for sums
    std::size_t begin, count, second;
    bool adamw, decay;
  };
  struct Matrix {  // for Muon
    std::size_t offset;
    int rows, cols;
  };
  struct MuonWorker {  // a thread's
    NewtonSchulz newton_schulz;
    std::vector<float> update;  // of the matrix it is at
  };
  void adamw(const OptimizerRecipe& recipe, double factor, float clip, std::span<float> parameters,
             std::span<float> gradients);
  void muon(const Matrix& matrix, const OptimizerRecipe& recipe, double factor, float clip, MuonWorker& worker,
            std::span<float> parameters, std::span<float> gradients);

  Compute compute_;
  std::vector<Chunk> chunks_;
  std::vector<Matrix> matrices_;  // the largest first, those of a shape one after another
  std::vector<double> sums_;      // a chunk each
  std::vector<MuonWorker> muon_workers_;
  OptimizerState state_;
};

}  // namespace hadal
