// Weights out of a source: what is read at once, and that it does not matter.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "kernels/kernel_table.h"
#include "model/random_model.h"
#include "model/weights.h"

namespace hadal::testing {
namespace {

constexpr std::int64_t kMostAtOnce = 4 << 20;  // values, 16 MB

// kv_b has 4.5 M values, and only eight of its heads fill whole panels.
ModelConfig wide_latents(KvBForm form) {
  ModelConfig c = small_mla();
  c.num_hidden_layers = 1;
  c.num_attention_heads = 20;
  c.kv_lora_rank = 8000;
  c.kv_b_form = form;
  return c;
}

float value_at(std::int64_t row, std::int64_t column) {
  return static_cast<float>((row * 7919 + column * 104729) % 65537);
}

// Values that say where in kv_b they stand, whole or in halves.
class NumberedHeads {
 public:
  explicit NumberedHeads(const ModelConfig& config) : c_(config) {}

  Status read(const TensorSpec& t, std::int64_t first, std::int64_t rows, float* out) {
    const std::int64_t columns = t.shape.size() > 1 ? t.shape[1] : 1;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < columns; ++i) out[r * columns + i] = number(t.role, first + r, i);
    const std::scoped_lock lock(mutex_);
    most_at_once_ = std::max(most_at_once_, rows * columns);
    return Done{};
  }
  std::int64_t most_at_once() const { return most_at_once_; }

 private:
  float number(TensorRole role, std::int64_t row, std::int64_t column) const {
    const std::int64_t latent = c_.kv_lora_rank, nope = c_.qk_nope_head_dim, value = c_.v_head_dim, pair = nope + value;
    if (role == TensorRole::k_b_proj) return value_at(row / latent * pair + column, row % latent);
    if (role == TensorRole::v_b_proj) return value_at(row / value * pair + nope + row % value, column);
    return value_at(row, column);
  }

  const ModelConfig& c_;
  std::mutex mutex_;
  std::int64_t most_at_once_ = 0;
};

// W [outputs, inputs] of value(output, input), packed in one go.
template <class Value>
bool holds(const Compute& compute, const PackedMatrix& found, int outputs, int inputs, Value value) {
  std::vector<float> rows;
  for (int o = 0; o < outputs; ++o)
    for (int i = 0; i < inputs; ++i) rows.push_back(value(o, i));
  PackedMatrix expected;
  expected.allocate(compute.arithmetic, outputs, inputs);
  expected.pack_rows(*compute.kernels, 0, outputs, rows.data(), inputs);
  return found.bytes() == expected.bytes() && std::memcmp(found.panel(0), expected.panel(0), expected.bytes()) == 0;
}

TEST(LoadWeights, HeadsThatAreReadInSeveralPiecesArePackedAsInOne) {
  ThreadPool pool(2);
  const Compute compute = make_compute(pool, Arithmetic::exact);
  for (const KvBForm form : {KvBForm::whole, KvBForm::split}) {
    const ModelConfig c = wide_latents(form);
    const int latent = c.kv_lora_rank, nope = c.qk_nope_head_dim, value = c.v_head_dim, pair = nope + value,
              heads = c.num_attention_heads;
    ASSERT_GT(std::int64_t{heads} * pair * latent, kMostAtOnce);
    NumberedHeads source(c);
    const auto loaded = load_weights(c, {.read = [&](auto&&... rows) { return source.read(rows...); }}, compute);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    EXPECT_LE(source.most_at_once(), kMostAtOnce);
    const AttentionWeights& attention = loaded->blocks[0].attention;
    EXPECT_TRUE(holds(compute, attention.kv_b_proj, heads * pair, latent, value_at));
    ASSERT_EQ(static_cast<int>(attention.absorbed.size()), heads);
    for (int h = 0; h < heads; ++h) {
      const AbsorbedHead& head = attention.absorbed[static_cast<std::size_t>(h)];
      EXPECT_TRUE(holds(compute, head.to_latent, latent, nope, [&](int i, int n) { return value_at(h * pair + n, i); }))
          << h;
      EXPECT_TRUE(holds(compute, head.to_value, value, latent, [&](int v, int i) {
        return value_at(h * pair + nope + v, i);
      })) << h;
    }
  }
}

}  // namespace
}  // namespace hadal::testing
