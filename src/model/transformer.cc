#include "model/transformer.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/kernel_table.h"
#include "model/block.h"
#include "model/rope_table.h"
#include "model/weights.h"

namespace hadal {
struct Transformer::Impl {
  ModelConfig config;
  Compute compute;
  ModelWeights weights;
  RopeTable rope;
  float scale;
  RouterRule rule;

  BlockActivations activations;  // one for all layers
  FloatBuffer stream_TD[2], rope_TR, head_RD;
  BlockObserver observer;
};

Transformer::Transformer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Transformer::~Transformer() = default;

Result<std::unique_ptr<Transformer>> Transformer::load(const ModelConfig& config, const WeightSource& source,
                                                       const Compute& compute) {
  HADAL_ASSIGN(ModelWeights weights, load_weights(config, source, compute));
  auto impl = std::make_unique<Impl>(Impl{.config = config,
                                          .compute = compute,
                                          .weights = std::move(weights),
                                          .rope = RopeTable(rope_inverse_frequencies(config)),
                                          .scale = hadal::softmax_scale(config),
                                          .rule = router_rule(config),
                                          .activations = {},
                                          .stream_TD = {},
                                          .rope_TR = {},
                                          .head_RD = {},
                                          .observer = nullptr});
  return std::unique_ptr<Transformer>(new Transformer(std::move(impl)));
}

const ModelConfig& Transformer::config() const {
  return impl_->config;
}
const Compute& Transformer::compute() const {
  return impl_->compute;
}

void Transformer::observe(BlockObserver observer) {
  impl_->observer = std::move(observer);
}

LatentLayout Transformer::latent_layout() const {
  const std::size_t element = impl_->compute.arithmetic == Arithmetic::exact ? 4 : 2;
  const std::size_t bytes = static_cast<std::size_t>(impl_->config.latent_row_width()) * element;
  return {impl_->config.num_hidden_layers, (bytes + 63) / 64 * 64};
}

void Transformer::reserve(int max_rows, int max_logit_rows) {
  Impl& m = *impl_;
  for (FloatBuffer& stream : m.stream_TD) stream.ensure(size(max_rows, m.config.hidden_size));
  m.rope_TR.ensure(size(max_rows, m.config.rope_dim()));
  m.head_RD.ensure(size(max_logit_rows, m.config.hidden_size));
}

void Transformer::forward(const ForwardBatch& batch, const LatentStore& store, std::span<float> logits,
                          RouteLog* routes) {
  Impl& m = *impl_;
  const ModelConfig& c = m.config;
  const int rows = static_cast<int>(batch.tokens.size()), d = c.hidden_size,
            wanted = static_cast<int>(batch.logit_rows.size());
  HADAL_CHECK(logits.size() >= size(wanted, c.vocab_size));
  reserve(rows, wanted);

  float* rope = m.rope_TR.data();
  float* x = m.stream_TD[0].data();
  float* next = m.stream_TD[1].data();
  for (const Segment& s : batch.segments) {
    m.rope.cover(s.first_position + s.rows);
    for (int r = 0; r < s.rows; ++r)
      std::memcpy(rope + static_cast<std::ptrdiff_t>(s.first_row + r) * c.rope_dim(), m.rope.row(s.first_position + r),
                  size(c.rope_dim(), 4));
  }
  for (int t = 0; t < rows; ++t)
    embed(c, m.weights, *m.compute.kernels, batch.tokens[static_cast<std::size_t>(t)],
          x + static_cast<std::ptrdiff_t>(t) * d);

  if (routes) routes->experts.clear();
  const PassContext pass{m.compute, c, batch.segments, rows, rope, &store, m.scale, m.rule};
  for (int layer = 0; layer < c.num_hidden_layers; ++layer) {
    block_forward(pass, layer, m.weights.blocks[static_cast<std::size_t>(layer)], x, next, m.activations);
    std::swap(x, next);
    if (m.observer) m.observer(layer, rows, m.activations);
    if (routes && m.weights.blocks[static_cast<std::size_t>(layer)].moe)
      routes->experts.insert(routes->experts.end(), m.activations.ffn.chosen_TK.begin(),
                             m.activations.ffn.chosen_TK.end());
  }

  float* head = m.head_RD.data();
  for (int i = 0; i < wanted; ++i)
    m.compute.kernels->rms_norm(x + static_cast<std::ptrdiff_t>(batch.logit_rows[static_cast<std::size_t>(i)]) * d,
                                m.weights.final_norm.data(), d, static_cast<float>(c.rms_norm_eps),
                                head + static_cast<std::ptrdiff_t>(i) * d);
  if (wanted > 0)
    matmul(m.compute, {.weights = &m.weights.lm_head,
                       .x = head,
                       .x_stride = d,
                       .y = logits.data(),
                       .y_stride = c.vocab_size,
                       .rows = wanted});
}

}  // namespace hadal
