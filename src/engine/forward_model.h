// The seam between the engine and the arithmetic: rows in, logits out.
//
// TransformerModel is the real one; tests put a small deterministic function in its
// place, so that the engine's promises are checked without weights.
// Threads: the engine thread alone calls it.
#pragma once

#include <span>

#include "model/transformer.h"

namespace hadal {

// What one token's exported routes look like: [moe_layers, chosen].
struct RouteShape {
  int moe_layers = 0, chosen = 0;
  int per_token() const { return moe_layers * chosen; }
};
inline RouteShape route_shape_of(const ModelConfig& config) {
  RouteShape shape{0, config.num_experts_per_tok};
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) shape.moe_layers += config.is_moe_layer(layer);
  return shape;
}

class ForwardModel {
 public:
  virtual ~ForwardModel() = default;
  virtual LatentLayout latent_layout() const = 0;
  virtual int vocab_size() const = 0;
  virtual RouteShape route_shape() const = 0;
  virtual const Compute& compute() const = 0;  // its threads draw the tokens as well
  virtual void reserve(int max_rows, int max_logit_rows) = 0;
  // As Transformer::forward: logits [R, V], routes [moe layers, T, K].
  virtual void forward(const ForwardBatch& batch, const LatentStore& store, std::span<float> logits,
                       RouteLog* routes) = 0;
};

class TransformerModel final : public ForwardModel {
 public:
  explicit TransformerModel(Transformer& transformer) : transformer_(transformer) {}
  LatentLayout latent_layout() const override { return transformer_.latent_layout(); }
  int vocab_size() const override { return transformer_.config().vocab_size; }
  RouteShape route_shape() const override { return route_shape_of(transformer_.config()); }
  const Compute& compute() const override { return transformer_.compute(); }
  void reserve(int max_rows, int max_logit_rows) override { transformer_.reserve(max_rows, max_logit_rows); }
  void forward(const ForwardBatch& batch, const LatentStore& store, std::span<float> logits,
               RouteLog* routes) override {
    transformer_.forward(batch, store, logits, routes);
  }

 private:
  Transformer& transformer_;
};

}  // namespace hadal
