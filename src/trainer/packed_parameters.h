// The kernels' view of flat float32 parameters: packed weights for the forward
// pass, their transposes for the backward pass, and where each gradient lies.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/weights.h"
#include "trainer/backward.h"
#include "trainer/training_model.h"

namespace hadal {

// The multi-token-prediction layer of V3 (MODELS.md 5.1): a combination of the next token's embedding with the hidden
// state, one more block, one more norm; embedding and head are the main model's.
struct MtpParameters {
  std::vector<float> enorm, hnorm, shared_head_norm;  // [D]
  PackedMatrix eh_proj, eh_proj_transposed;           // [D, 2 D]
  BlockWeights block;
  BlockTransposed transposed;
  BlockGradients gradients;
  float *d_enorm = nullptr, *d_hnorm = nullptr, *d_shared_head_norm = nullptr, *d_eh_proj = nullptr;
};

struct PackedParameters {
  ModelWeights weights;                     // expanded order only
  std::vector<BlockTransposed> transposed;  // [L]
  PackedMatrix lm_head_transposed;
  std::vector<BlockGradients> block_gradients;  // [L]
  std::unique_ptr<MtpParameters> mtp;           // null: the model has none
  float *d_embedding = nullptr, *d_final_norm = nullptr, *d_lm_head = nullptr;

  PackedParameters() = default;
  PackedParameters(const PackedParameters&) = delete;  // jobs_ points into this object
  PackedParameters& operator=(const PackedParameters&) = delete;

  void allocate(const ModelConfig& config, Arithmetic arithmetic, std::span<const ParameterSlot> slots,
                const float* parameters, float* gradients);
  // Packs what `parameters` holds now.
  void refresh(const Compute& compute);

 private:
  struct Copy {
    const float* from;
    std::vector<float>* to;
  };
  void bind(const ModelConfig& config, const ParameterSlot& slot, const float* parameter, float* gradient);
  bool bind_mtp(const ParameterSlot& slot, const float* parameter, float* gradient);
  void bind_vector(const float* from, std::int64_t elements, std::vector<float>& to);
  void bind_matrix(const float* from, int rows, int columns, PackedMatrix& to, PackedMatrix& to_transposed, int offset);

  std::vector<PackJob> jobs_;
  std::vector<Copy> copies_;
  const float* embedding_ = nullptr;
  std::int64_t embedding_elements_ = 0;
};

}  // namespace hadal
