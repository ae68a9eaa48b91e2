#include "trainer/optimizer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace hadal {
namespace {

constexpr std::size_t kSquare = 16;              // floats of a cache line
constexpr std::size_t kChunkElements = 1 << 15;  // 128 KiB: one core's cache holds the four arrays of a chunk

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
    : compute_(compute) {
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
    if (!rests)
      matrices_.push_back({offset, static_cast<int>(slot.tensor.shape[0]), static_cast<int>(slot.tensor.shape[1])});
  }
  std::stable_sort(matrices_.begin(), matrices_.end(), [](const Matrix& a, const Matrix& b) {
    return std::tuple(a.rows * std::int64_t{a.cols}, a.rows) > std::tuple(b.rows * std::int64_t{b.cols}, b.rows);
  });
  if (!matrices_.empty())
    for (int i = 0; i < compute.pool->threads(); ++i) muon_workers_.push_back({NewtonSchulz(compute), {}});
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
    sums_[static_cast<std::size_t>(i)] = sum_of_squares(gradients.subspan(chunk.begin, chunk.count));
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
  compute_.pool->parallel_for(static_cast<int>(matrices_.size()), [&](int i, int thread) {
    muon(matrices_[static_cast<std::size_t>(i)], recipe, factor, clip, muon_workers_[static_cast<std::size_t>(thread)],
         parameters, gradients);
  });
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

void Optimizer::muon(const Matrix& matrix, const OptimizerRecipe& recipe, double factor, float clip, MuonWorker& worker,
                     std::span<float> parameters, std::span<float> gradients) {
  const auto rows = static_cast<std::size_t>(matrix.rows), cols = static_cast<std::size_t>(matrix.cols);
  const bool tall = rows > cols;  // the iteration wants the shorter side as rows
  worker.update.resize(rows * cols);
  float* const u = worker.update.data();
  // Calls visit(i, place of element i in u).
  const auto each = [&](auto visit) {
    if (!tall) {
      for (std::size_t i = 0; i < rows * cols; ++i) visit(i, i);
      return;
    }
    for (std::size_t top = 0; top < rows; top += kSquare)  // in squares, so that a cache line of u is met soon again
      for (std::size_t left = 0; left < cols; left += kSquare)
        for (std::size_t row = top; row < std::min(rows, top + kSquare); ++row)
          for (std::size_t col = left; col < std::min(cols, left + kSquare); ++col)
            visit(row * cols + col, col * rows + row);
  };
  const float momentum = static_cast<float>(recipe.momentum);
  float* const g = &gradients[matrix.offset];
  float* const m = &state_.first[matrix.offset];
  each([&](std::size_t i, std::size_t place) {
    const float gradient = g[i] * clip;
    m[i] = momentum * m[i] + gradient;
    u[place] = gradient + momentum * m[i];
    g[i] = 0;
  });
  worker.newton_schulz.orthogonalise(worker.update, std::min(matrix.rows, matrix.cols),
                                     std::max(matrix.rows, matrix.cols), recipe.newton_schulz_steps);
  const double rate = factor * recipe.learning_rate;
  const float scale = static_cast<float>(rate * 0.2 * std::sqrt(static_cast<double>(std::max(rows, cols))));
  const float decay = static_cast<float>(1 - rate * recipe.weight_decay);
  float* const p = &parameters[matrix.offset];
  each([&](std::size_t i, std::size_t place) { p[i] = p[i] * decay - scale * u[place]; });
}

}  // namespace hadal
