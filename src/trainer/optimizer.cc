#include "trainer/optimizer.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hadal {
namespace {

constexpr std::size_t kChunkElements = 1 << 15;  // 128 KiB: one core's cache holds the four arrays of a chunk
constexpr std::size_t kGroupElements = 1 << 20;  // 4 MiB of updates at once stay near the cores

struct AdamwStep {
  float clip, beta1, beta2, correction2, step_size, epsilon, decay;
};

// p -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps), after p *= 1 - lr * weight_decay. One pass.
void adamw_chunk(const AdamwStep& s, std::size_t n, float* __restrict p, float* __restrict g, float* __restrict m,
                 float* __restrict v) {
  for (std::size_t i = 0; i < n; ++i) {
    const float gradient = g[i] * s.clip;
    m[i] = s.beta1 * m[i] + (1 - s.beta1) * gradient;
    v[i] = s.beta2 * v[i] + (1 - s.beta2) * gradient * gradient;
    p[i] = p[i] * s.decay - s.step_size * m[i] / (std::sqrt(v[i] * s.correction2) + s.epsilon);
    g[i] = 0;
  }
}

double sum_of_squares(const float* x, std::size_t n) {
  double sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::size_t j = 0; j < 8; ++j) sums[j] += static_cast<double>(x[i + j]) * x[i + j];
  for (; i < n; ++i) sums[0] += static_cast<double>(x[i]) * x[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

}  // namespace

bool Optimizer::is_muon_matrix(const TensorSpec& tensor) {
  switch (tensor.role) {
    case TensorRole::embed_tokens:
    case TensorRole::lm_head:
    case TensorRole::router:
    case TensorRole::mtp_embed_tokens:
    case TensorRole::mtp_shared_head:
      return false;
    default:
      return tensor.shape.size() == 2;
  }
}

Optimizer::Optimizer(const Compute& compute, std::span<const ParameterSlot> slots, OptimizerKind kind,
                     int first_resting_layer)
    : compute_(compute), newton_schulz_(compute) {
  std::size_t parameters = 0, second = 0;
  for (const ParameterSlot& slot : slots) {
    const auto offset = static_cast<std::size_t>(slot.offset), size = static_cast<std::size_t>(slot.tensor.elements());
    parameters = std::max(parameters, offset + size);
    if (!slot.trained) continue;
    const bool muon = kind == OptimizerKind::muon && is_muon_matrix(slot.tensor);
    const bool rests = slot.tensor.layer >= first_resting_layer;
    for (std::size_t i = 0; i < size && !rests; i += kChunkElements)
      chunks_.push_back({offset + i, std::min(kChunkElements, size - i), muon ? 0 : second + i, !muon,
                         slot.tensor.shape.size() >= 2});
    if (!muon) {
      second += size;
      continue;
    }
    if (rests) continue;
    const int rows = static_cast<int>(slot.tensor.shape[0]), cols = static_cast<int>(slot.tensor.shape[1]);
    const auto fits = [&](const Group& g) {
      return g.rows == rows && g.cols == cols && (g.offsets.size() + 1) * size <= kGroupElements;
    };
    auto group = std::find_if(groups_.begin(), groups_.end(), fits);
    if (group == groups_.end()) group = groups_.insert(groups_.end(), Group{rows, cols, {}});
    group->offsets.push_back(offset);
  }
  // Groups of one shape follow one another, so that the iteration's workspace is made once a shape.
  std::stable_sort(groups_.begin(), groups_.end(), [](const Group& a, const Group& b) {
    return std::pair(a.rows, a.cols) < std::pair(b.rows, b.cols);
  });
  sums_.resize(chunks_.size());
  state_.kind = kind;
  state_.first.assign(parameters, 0.0f);
  state_.second.assign(second, 0.0f);
}

bool Optimizer::restore(OptimizerState state) {
  if (state.kind != state_.kind || state.first.size() != state_.first.size() ||
      state.second.size() != state_.second.size())
    return false;
  state_ = std::move(state);
  return true;
}

double Optimizer::gradient_norm(std::span<const float> gradients) {
  compute_.pool->parallel_for(static_cast<int>(chunks_.size()), [&](int i, int) {
    const Chunk& chunk = chunks_[static_cast<std::size_t>(i)];
    sums_[static_cast<std::size_t>(i)] = sum_of_squares(&gradients[chunk.begin], chunk.count);
  });
  double sum = 0;
  for (const double s : sums_) sum += s;  // always in the same order
  return std::sqrt(sum);
}

void Optimizer::step(const OptimizerRecipe& recipe, double factor, double norm, std::span<float> parameters,
                     std::span<float> gradients) {
  HADAL_CHECK(recipe.kind == state_.kind);
  ++state_.steps;
  const float clip =
      recipe.clip_norm > 0 && norm > recipe.clip_norm ? static_cast<float>(recipe.clip_norm / norm) : 1.0f;
  adamw(recipe, factor, clip, parameters, gradients);
  for (const Group& group : groups_) muon(group, recipe, factor, clip, parameters, gradients);
}

void Optimizer::adamw(const OptimizerRecipe& recipe, double factor, float clip, std::span<float> parameters,
                      std::span<float> gradients) {
  const bool alone = state_.kind == OptimizerKind::adamw || recipe.adamw_learning_rate == 0;
  const double rate = factor * (alone ? recipe.learning_rate : recipe.adamw_learning_rate);
  const double t = static_cast<double>(state_.steps);
  AdamwStep s{.clip = clip,
              .beta1 = static_cast<float>(recipe.beta1),
              .beta2 = static_cast<float>(recipe.beta2),
              .correction2 = static_cast<float>(1 / (1 - std::pow(recipe.beta2, t))),
              .step_size = static_cast<float>(rate / (1 - std::pow(recipe.beta1, t))),
              .epsilon = static_cast<float>(recipe.epsilon),
              .decay = 1};
  const float decay = static_cast<float>(1 - rate * recipe.weight_decay);
  compute_.pool->parallel_for(static_cast<int>(chunks_.size()), [&](int i, int) {
    const Chunk& chunk = chunks_[static_cast<std::size_t>(i)];
    if (!chunk.adamw) return;
    AdamwStep mine = s;
    if (chunk.decay) mine.decay = decay;
    adamw_chunk(mine, chunk.count, &parameters[chunk.begin], &gradients[chunk.begin], &state_.first[chunk.begin],
                &state_.second[chunk.second]);
  });
}

void Optimizer::muon(const Group& group, const OptimizerRecipe& recipe, double factor, float clip,
                     std::span<float> parameters, std::span<float> gradients) {
  const std::size_t rows = static_cast<std::size_t>(group.rows), cols = static_cast<std::size_t>(group.cols);
  const std::size_t elements = rows * cols;
  const int count = static_cast<int>(group.offsets.size());
  const bool tall = rows > cols;  // the iteration wants the shorter side as rows
  const float momentum = static_cast<float>(recipe.momentum);
  updates_.resize(group.offsets.size() * elements);
  compute_.pool->parallel_for(count, [&](int i, int) {
    float* g = &gradients[group.offsets[static_cast<std::size_t>(i)]];
    float* m = &state_.first[group.offsets[static_cast<std::size_t>(i)]];
    float* u = &updates_[static_cast<std::size_t>(i) * elements];
    for (std::size_t row = 0; row < rows; ++row)
      for (std::size_t col = 0; col < cols; ++col) {
        const std::size_t at = row * cols + col;
        const float gradient = g[at] * clip;
        m[at] = momentum * m[at] + gradient;
        u[tall ? col * rows + row : at] = gradient + momentum * m[at];
        g[at] = 0;
      }
  });
  newton_schulz_.orthogonalise(updates_, count, tall ? group.cols : group.rows, tall ? group.rows : group.cols,
                               recipe.newton_schulz_steps);
  const double rate = factor * recipe.learning_rate;
  const float scale = static_cast<float>(rate * 0.2 * std::sqrt(static_cast<double>(std::max(rows, cols))));
  const float decay = static_cast<float>(1 - rate * recipe.weight_decay);
  compute_.pool->parallel_for(count, [&](int i, int) {
    float* p = &parameters[group.offsets[static_cast<std::size_t>(i)]];
    const float* u = &updates_[static_cast<std::size_t>(i) * elements];
    for (std::size_t row = 0; row < rows; ++row)
      for (std::size_t col = 0; col < cols; ++col) {
        const std::size_t at = row * cols + col;
        p[at] = p[at] * decay - scale * u[tall ? col * rows + row : at];
      }
  });
}

}  // namespace hadal
