// The forward pass of a DeepSeek V2/V3 model or a dense relative: token ids in, logits out.
//
// It reads as one descent: embedding, then per block RMSNorm, attention (MLA or grouped
// queries), RMSNorm, MoE or dense FFN, then the final norm and the head. It knows rows and positions,
// and neither requests nor sampling nor training; the engine batches, the
// trainer differentiates (with the same functions of this folder).
//
// Threads: forward() is called by one thread at a time; it uses the Compute's pool.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "kernels/compute.h"
#include "spec/checkpoint.h"
#include "spec/model_config.h"
#include "spec/tensor_table.h"

namespace hadal {

inline constexpr int kPageTokens = 64;  // rows of a latent page: what block-wise decode kernels expect

// Pages that hold so many tokens (any int >= 0).
constexpr int pages_for(int tokens) {
  return tokens / kPageTokens + (tokens % kPageTokens != 0);
}

// Where the latents of cached tokens lie. The memory belongs to the engine's cache; training keeps none.
// Row of (layer, page, slot): data + layer * layer_stride_bytes + page * page_stride_bytes + slot * row_bytes.
// A row holds latent_row_width() elements, float in exact arithmetic, bf16 in fast: the normalised latent [C], then the
// rotated shared key [R]; or, with grouped queries, for each of G heads its value [W], then its rotated key [W]. Every
// row starts 64-byte aligned.
struct LatentStore {
  std::byte* data = nullptr;
  std::size_t layer_stride_bytes = 0, page_stride_bytes = 0, row_bytes = 0;

  std::byte* row(int layer, PageId page, int slot) const {
    return data + static_cast<std::size_t>(layer) * layer_stride_bytes +
           static_cast<std::size_t>(index(page)) * page_stride_bytes + static_cast<std::size_t>(slot) * row_bytes;
  }
};

struct LatentLayout {
  int layers;
  std::size_t row_bytes;                                              // padded to 64
  std::size_t page_bytes() const { return row_bytes * kPageTokens; }  // of one layer
};

// Some consecutive rows of the batch that belong to one sequence.
struct Segment {
  int first_row;       // in the batch
  int rows;            // new tokens of this sequence in the batch
  int first_position;  // position of the first of them = tokens already cached
  std::span<const PageId>
      pages;           // covering positions [0, first_position + rows); the new rows are written by forward()
  int prefix_row = 0;  // training, behind position 0: the batch's rows from here on are the positions before
};

struct ForwardBatch {
  std::span<const TokenId> tokens;    // [T]
  std::span<const Segment> segments;  // in row order, covering all T rows
  std::span<const int> logit_rows;    // [R] the rows whose logits are wanted, ascending
};

// The experts each token chose, for export and for replay: [moe layers, T, K], chosen experts in descending score.
struct RouteLog {
  std::vector<ExpertId> experts;
};

// Where weights come from. Any thread may call these.
struct WeightSource {
  // Rows [first_row, first_row + rows) of a tensor as float32.
  std::function<Status(const TensorSpec& tensor, std::int64_t first_row, std::int64_t rows, float* out)> read;
  // The scales that stored weights were multiplied by; may be null. Without them weights are rounded to bf16 with their
  // scale in fast arithmetic; the exact one does not need them.
  std::function<Result<BlockScales>(const TensorSpec& tensor)> scales = nullptr;
  // The tensor where it lies, in memory that outlives the Transformer; null: it is read. Those stored in blocks are
  // then computed with as they are.
  std::function<std::optional<TensorView>(const TensorSpec& tensor)> stored = nullptr;
};

struct BlockActivations;
// Sees what a block leaves behind (model/block.h), before the next one overwrites it.
using BlockObserver = std::function<void(int layer, int rows, const BlockActivations& activations)>;

class Transformer {
 public:
  // Reads every weight once, packing in parallel, but for those that stay where they are stored.
  static Result<std::unique_ptr<Transformer>> load(const ModelConfig& config, const WeightSource& source,
                                                   const Compute& compute);
  ~Transformer();

  const ModelConfig& config() const;
  const Compute& compute() const;
  LatentLayout latent_layout() const;

  // Takes residual streams, rotations and the head's rows for batches of up to `max_rows` rows and `max_logit_rows`
  // logits. Activations and the table of rotations grow in forward(), with the largest batch and the furthest position.
  void reserve(int max_rows, int max_logit_rows);

  // logits: [R, V] float32, row i for batch.logit_rows[i]. Writes the latents of all T new tokens into `store`.
  // `routes`, when given, is resized to moe layers * T * K and filled.
  void forward(const ForwardBatch& batch, const LatentStore& store, std::span<float> logits,
               RouteLog* routes = nullptr);

  // Called for each block of each forward pass from now on; null: no more.
  void observe(BlockObserver observer);

  struct Impl;

 private:
  explicit Transformer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hadal
