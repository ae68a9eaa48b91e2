// Attention in absorbed order over pages of latents, on every instruction set:
// against the reference, against the expanded order of the same kernels, and exact
// arithmetic against itself, bit for bit.
#include <cstring>

#include "kernels/attention.h"
#include "kernels/isas.h"
#include "kernels/matmul.h"
#include "kernels/numbers.h"
#include "kernels/ref/mla.h"

namespace hadal::testing {
namespace {

constexpr int kPage = 64;

// Cached rows [latent | rotated key], in pages that lie apart and in any order. All that is not a row is NaN in either
// type: what is behind a row's width, the rows behind the last position.
class Pages {
 public:
  Pages(Arithmetic arithmetic, int positions, int width, const std::vector<float>& rows)
      : row_bytes_((static_cast<std::size_t>(width) * (arithmetic == Arithmetic::exact ? 4 : 2) + 63) / 64 * 64) {
    const int count = (positions + kPage - 1) / kPage;
    memory_.assign(static_cast<std::size_t>(count * kPage) * row_bytes_, std::byte{0xff});
    for (int p = 0; p < count; ++p)
      pages_.push_back(memory_.data() + static_cast<std::size_t>((count - 1 - p) * kPage) * row_bytes_);
    for (int j = 0; j < positions; ++j) {
      std::byte* to = pages_[static_cast<std::size_t>(j / kPage)] + static_cast<std::size_t>(j % kPage) * row_bytes_;
      for (int i = 0; i < width; ++i) {
        const float value = rows[static_cast<std::size_t>(j * width + i)];
        const bf16 half = to_bf16(value);
        if (arithmetic == Arithmetic::exact)
          std::memcpy(to + i * 4, &value, 4);
        else
          std::memcpy(to + i * 2, &half, 2);
      }
    }
    for (std::byte* page : pages_) read_only_.push_back(page);
  }
  const std::byte* const* data() const { return read_only_.data(); }
  std::size_t row_bytes() const { return row_bytes_; }

 private:
  std::size_t row_bytes_;
  std::vector<std::byte> memory_;
  std::vector<std::byte*> pages_;
  std::vector<const std::byte*> read_only_;
};

struct Shape {
  int H, S, C, R;  // heads, positions, latent rank, rope dim
};
std::string name_of(const Shape& s) {
  return "H " + std::to_string(s.H) + ", S " + std::to_string(s.S) + ", C " + std::to_string(s.C);
}

// Borders of pages from both sides; heads in eights, fours, twos and ones; widths that end inside a register.
constexpr Shape kShapes[] = {{1, 1, 40, 8},    {3, 63, 40, 8}, {4, 64, 40, 8},    {5, 65, 40, 8}, {8, 127, 64, 16},
                             {13, 128, 33, 6}, {2, 129, 7, 2}, {16, 200, 64, 16}, {1, 31, 96, 32}};

struct Case {
  Shape s;
  float scale;
  std::vector<float> q_HW, rows_SW;  // W = C + R

  Case(const Shape& shape, std::uint64_t seed)
      : s(shape),
        scale(1 / std::sqrt(static_cast<float>(s.C + s.R))),
        q_HW(random_values<float>(s.H * (s.C + s.R), seed)),
        rows_SW(random_values<float>(s.S * (s.C + s.R), seed + 1)) {}

  // `heads` of them a tile. [H, C]
  std::vector<float> by_kernels(const Compute& compute, int heads) const {
    const Pages pages(compute.arithmetic, s.S, s.C + s.R, rows_SW);
    std::vector<float> out(static_cast<std::size_t>(s.H * s.C), 1e9f);
    std::vector<AbsorbedTile> tiles;
    for (int h = 0; h < s.H; h += heads)
      tiles.push_back({.q = q_HW.data() + h * (s.C + s.R),
                       .q_stride = s.C + s.R,
                       .pages = pages.data(),
                       .row_bytes = pages.row_bytes(),
                       .out = out.data() + h * s.C,
                       .out_stride = s.C,
                       .heads = std::min(heads, s.H - h),
                       .positions = s.S,
                       .latent = s.C,
                       .rope = s.R,
                       .scale = scale,
                       .scratch = nullptr});
    absorbed_attention(compute, tiles);
    return out;
  }
  // One key [latent | rotated key] and one value, the latent, for all heads. [H, C]
  std::vector<double> by_reference(const std::vector<float>& q, const std::vector<float>& rows, int positions) const {
    std::vector<double> latents;
    for (int j = 0; j < positions; ++j)
      latents.insert(latents.end(), rows.begin() + j * (s.C + s.R), rows.begin() + j * (s.C + s.R) + s.C);
    std::vector<double> out(static_cast<std::size_t>(s.H * s.C));
    for (int h = 0; h < s.H; ++h)
      ref::attention<double>({1, positions, 1, s.C + s.R, s.C}, scale, converted<double>(q).data() + h * (s.C + s.R),
                             converted<double>(rows).data(), latents.data(), out.data() + h * s.C);
    return out;
  }
  // What the fast arithmetic multiplies: bf16 queries with bf16 latents.
  std::vector<double> by_reference(Arithmetic arithmetic) const {
    if (arithmetic == Arithmetic::exact) return by_reference(q_HW, rows_SW, s.S);
    return by_reference(rounded_to_bf16(q_HW), rounded_to_bf16(rows_SW), s.S);
  }
};

class AbsorbedAttention : public ::testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(EveryIsa, AbsorbedAttention, ::testing::ValuesIn(runnable_isas()), isa_of_test);

// Measured: at most 2.6e-7 in exact arithmetic, and 4.6e-7 between the two orders. The fast one rounds a page's weights
// to bf16: at most 1.3e-3. The mildest mistake below: 5.2e-2.
constexpr double kBound = 1e-6, kRoundedWeightsBound = 2.5e-3, kMistake = 1e-2;
double bound_of(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::exact ? kBound : kRoundedWeightsBound;
}

TEST_P(AbsorbedAttention, EqualsTheReferenceAtPageBordersForEveryGroupOfHeads) {
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(GetParam(), arithmetic, 2);
    for (const Shape& s : kShapes) {
      const Case c(s, 1);
      const auto right = c.by_reference(arithmetic);
      for (const int heads : {8, 16})
        EXPECT_LT(difference(c.by_kernels(machine.compute, heads), right), bound_of(arithmetic))
            << name_of(s) << ", " << arithmetic_name(arithmetic);
    }
  }
}

TEST(AbsorbedAttentionBound, CatchesALostPositionAtAPagesEndAndAWrongScale) {
  const Case c({4, 129, 40, 8}, 1);
  const auto right = c.by_reference(c.q_HW, c.rows_SW, 129);
  EXPECT_GT(difference(c.by_reference(c.q_HW, c.rows_SW, 128), right), kMistake);
  Case wrong = c;
  wrong.scale *= 1.05f;
  EXPECT_GT(difference(wrong.by_reference(c.q_HW, c.rows_SW, 129), right), kMistake);
}

TEST_P(AbsorbedAttention, AHeadIsTheSameAloneAndAmongOthersForAnyThreads) {
  const Case c({13, 150, 40, 8}, 2);
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine first(GetParam(), arithmetic, 1);
    const std::vector<float> together = c.by_kernels(first.compute, 13);
    for (const int threads : {1, 2, 3})
      for (const int heads : {1, 4, 8}) {
        Machine machine(GetParam(), arithmetic, threads);
        EXPECT_TRUE(same_bits(c.by_kernels(machine.compute, heads), together)) << heads << " heads, " << threads;
      }
  }
}

TEST_P(AbsorbedAttention, ExactBitsAreTheSameOnEveryIsa) {
  Machine portable(Isa::portable, Arithmetic::exact, 1), other(GetParam(), Arithmetic::exact, 1);
  for (const Shape& s : kShapes) {
    const Case c(s, 3);
    EXPECT_TRUE(same_bits(c.by_kernels(other.compute, 8), c.by_kernels(portable.compute, 8))) << name_of(s);
  }
}

// A page whose scores dwarf those before: the running maximum moves, and what was summed up fades to exactly nothing.
TEST_P(AbsorbedAttention, ALaterPageMayOutweighAllBefore) {
  Case c({4, 130, 16, 4}, 4);
  for (std::size_t i = 129 * 20; i < 130 * 20; ++i) c.rows_SW[i] = c.q_HW[i % 20] * 1000;  // position 129 for head 0
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(GetParam(), arithmetic, 1);
    const auto rows = arithmetic == Arithmetic::exact ? c.rows_SW : rounded_to_bf16(c.rows_SW);
    const std::vector<float> out = c.by_kernels(machine.compute, 8);
    EXPECT_LT(difference(out, c.by_reference(arithmetic)), bound_of(arithmetic));
    const std::vector<float> head(out.begin(), out.begin() + 16),
        row(rows.begin() + 129 * 20, rows.begin() + 129 * 20 + 16);
    EXPECT_LT(difference(head, row), kBound) << "head 0 sees position 129 alone";
  }
}

TEST_P(AbsorbedAttention, KernelsStayInTheScratchThatIsAskedFor) {
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast})
    for (const Shape& s : kShapes) {
      const Case c(s, 5);
      const Pages pages(arithmetic, s.S, s.C + s.R, c.rows_SW);
      std::vector<float> out(static_cast<std::size_t>(s.H * s.C));
      GuardedScratch scratch(absorbed_scratch_bytes(s.C, s.R));
      const KernelTable& kernels = *kernels_for(GetParam());
      (arithmetic == Arithmetic::exact ? kernels.absorbed_f32 : kernels.absorbed_bf16)({.q = c.q_HW.data(),
                                                                                        .q_stride = s.C + s.R,
                                                                                        .pages = pages.data(),
                                                                                        .row_bytes = pages.row_bytes(),
                                                                                        .out = out.data(),
                                                                                        .out_stride = s.C,
                                                                                        .heads = s.H,
                                                                                        .positions = s.S,
                                                                                        .latent = s.C,
                                                                                        .rope = s.R,
                                                                                        .scale = c.scale,
                                                                                        .scratch = scratch.begin()});
      EXPECT_TRUE(scratch.guard_is_whole()) << name_of(s) << ", " << arithmetic_name(arithmetic);
    }
}

// --- both orders -----------------------------------------------------------------------------------------------------

// A layer from its latents with the kernels alone, as model/mla.cc puts them together.
struct Layer {
  ref::MlaShape s;
  float scale;
  std::vector<float> q_THG, latent_SC, pe_SR, kv_b;

  Layer(const ref::MlaShape& shape, std::uint64_t seed)
      : s(shape),
        scale(static_cast<float>(ref::mla_scale(s))),
        q_THG(random_values<float>(s.T * s.H * (s.N + s.R), seed)),
        latent_SC(random_values<float>(s.S * s.C, seed + 1)),
        pe_SR(random_values<float>(s.S * s.R, seed + 2)),
        kv_b(random_values<float>(s.H * (s.N + s.V) * s.C, seed + 3, 1 / std::sqrt(static_cast<double>(s.C)))) {}

  std::vector<double> by_reference() const {
    std::vector<double> out(static_cast<std::size_t>(s.T * s.H * s.V));
    const auto q = converted<double>(q_THG), latent = converted<double>(latent_SC), pe = converted<double>(pe_SR),
               weights = converted<double>(kv_b);
    ref::mla_expanded<double>(s, ref::mla_scale(s), {q.data(), latent.data(), pe.data(), weights.data()}, out.data());
    return out;
  }

  std::vector<float> expanded(const Compute& compute) const {
    const std::ptrdiff_t pair = s.N + s.V, width = s.H * pair;
    const PackedMatrix weights = packed(compute, {.from = kv_b.data(), .stride = s.C, .to = nullptr}, width, s.C);
    std::vector<float> kv(static_cast<std::size_t>(s.S * width)), out(static_cast<std::size_t>(s.T * s.H * s.V));
    matmul(compute, {.weights = &weights,
                     .x = latent_SC.data(),
                     .x_stride = s.C,
                     .y = kv.data(),
                     .y_stride = width,
                     .rows = static_cast<int>(s.S)});
    std::vector<AttentionTile> tiles;
    for (std::ptrdiff_t h = 0; h < s.H; ++h)
      tiles.push_back({.q = q_THG.data() + h * (s.N + s.R),
                       .q_stride = s.H * (s.N + s.R),
                       .k_nope = kv.data() + h * pair,
                       .k_nope_stride = width,
                       .k_pe = pe_SR.data(),
                       .k_pe_stride = s.R,
                       .v = kv.data() + h * pair + s.N,
                       .v_stride = width,
                       .out = out.data() + h * s.V,
                       .out_stride = s.H * s.V,
                       .lse = nullptr,
                       .rows = static_cast<int>(s.T),
                       .positions = static_cast<int>(s.S),
                       .nope = static_cast<int>(s.N),
                       .rope = static_cast<int>(s.R),
                       .value = static_cast<int>(s.V),
                       .scale = scale,
                       .scratch = nullptr});
    attention(compute, tiles);
    return out;
  }

  std::vector<float> absorbed(const Compute& compute) const {
    const std::ptrdiff_t G = s.N + s.R, W = s.C + s.R;
    std::vector<float> rows;
    for (std::ptrdiff_t j = 0; j < s.S; ++j) {
      rows.insert(rows.end(), latent_SC.begin() + j * s.C, latent_SC.begin() + (j + 1) * s.C);
      rows.insert(rows.end(), pe_SR.begin() + j * s.R, pe_SR.begin() + (j + 1) * s.R);
    }
    const Pages pages(compute.arithmetic, static_cast<int>(s.S), static_cast<int>(W), rows);
    std::vector<float> query(static_cast<std::size_t>(s.T * s.H * W)), mean(static_cast<std::size_t>(s.T * s.H * s.C)),
        out(static_cast<std::size_t>(s.T * s.H * s.V));
    for (std::ptrdiff_t h = 0; h < s.H; ++h) {
      const float* w_uk = kv_b.data() + h * (s.N + s.V) * s.C;  // [N, C], taken the other way round
      const PackedMatrix to_latent =
          packed(compute, {.from = w_uk, .stride = s.C, .to = nullptr, .transposed = true}, s.C, s.N);
      matmul(compute, {.weights = &to_latent,
                       .x = q_THG.data() + h * G,
                       .x_stride = s.H * G,
                       .y = query.data() + h * W,
                       .y_stride = s.H * W,
                       .rows = static_cast<int>(s.T)});
    }
    std::vector<AbsorbedTile> tiles;
    for (std::ptrdiff_t t = 0; t < s.T; ++t) {
      for (std::ptrdiff_t h = 0; h < s.H; ++h)
        std::copy_n(q_THG.begin() + (t * s.H + h) * G + s.N, s.R, query.begin() + (t * s.H + h) * W + s.C);
      tiles.push_back({.q = query.data() + t * s.H * W,
                       .q_stride = W,
                       .pages = pages.data(),
                       .row_bytes = pages.row_bytes(),
                       .out = mean.data() + t * s.H * s.C,
                       .out_stride = s.C,
                       .heads = static_cast<int>(s.H),
                       .positions = static_cast<int>(s.S - s.T + t + 1),
                       .latent = static_cast<int>(s.C),
                       .rope = static_cast<int>(s.R),
                       .scale = scale,
                       .scratch = nullptr});
    }
    absorbed_attention(compute, tiles);
    for (std::ptrdiff_t h = 0; h < s.H; ++h) {
      const float* w_uv = kv_b.data() + (h * (s.N + s.V) + s.N) * s.C;  // [V, C]
      const PackedMatrix to_value = packed(compute, {.from = w_uv, .stride = s.C, .to = nullptr}, s.V, s.C);
      matmul(compute, {.weights = &to_value,
                       .x = mean.data() + h * s.C,
                       .x_stride = s.H * s.C,
                       .y = out.data() + h * s.V,
                       .y_stride = s.H * s.V,
                       .rows = static_cast<int>(s.T)});
    }
    return out;
  }

 private:
  static PackedMatrix packed(const Compute& compute, PackJob job, std::ptrdiff_t outputs, std::ptrdiff_t inputs) {
    PackedMatrix matrix;
    matrix.allocate(compute.arithmetic, static_cast<int>(outputs), static_cast<int>(inputs));
    job.to = &matrix;
    pack(compute, std::span(&job, 1));
    return matrix;
  }
};

// Small and uneven, over three pages.
constexpr ref::MlaShape kUneven{.T = 5, .S = 131, .H = 3, .N = 16, .R = 8, .V = 12, .C = 40};

// Measured in fast arithmetic: 3.7e-3 expanded, 4.1e-3 absorbed. The mistake below: 0.38.
constexpr double kFastBound = 8e-3;

TEST_P(AbsorbedAttention, EqualsTheExpandedOrder) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    const Layer layer(kUneven, seed);
    const auto right = layer.by_reference();
    Machine exact(GetParam(), Arithmetic::exact, 2), fast(GetParam(), Arithmetic::fast, 2);
    const auto expanded = layer.expanded(exact.compute), absorbed = layer.absorbed(exact.compute);
    EXPECT_LT(difference(expanded, right), kBound) << seed;
    EXPECT_LT(difference(absorbed, right), kBound) << seed;
    EXPECT_LT(difference(absorbed, expanded), kBound) << seed;
    EXPECT_LT(difference(layer.expanded(fast.compute), right), kFastBound) << seed;
    EXPECT_LT(difference(layer.absorbed(fast.compute), right), kFastBound) << seed;
  }
}

TEST(AbsorbedAttentionBound, CatchesAQueryWhoseRopePartIsLost) {
  Machine machine(best_isa(), Arithmetic::fast, 1);
  Layer layer(kUneven, 1);
  const auto right = layer.by_reference();
  for (std::size_t i = 0; i < layer.q_THG.size(); ++i)
    if (i % 24 >= 16) layer.q_THG[i] = 0;
  EXPECT_GT(difference(layer.absorbed(machine.compute), right), 10 * kFastBound);
}

}  // namespace
}  // namespace hadal::testing
