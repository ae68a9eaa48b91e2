// MLA can be computed in two orders: expanded (keys of every head are built from
// the latents; prefill) and absorbed (the query is taken to the latents; decode).
// It is one formula, so each order checks the other; the model's goldens check both.
#include "kernels/numbers.h"
#include "kernels/ref/mla.h"

namespace hadal::testing {
namespace {

// Small and uneven, so that a swapped axis cannot pass by luck.
constexpr ref::MlaShape kUneven{.T = 5, .S = 29, .H = 3, .N = 16, .R = 8, .V = 12, .C = 40};

template <class Real>
struct MlaCase {
  MlaCase(const ref::MlaShape& shape, std::uint64_t seed)
      : s(shape),
        q(random_values<Real>(s.T * s.H * (s.N + s.R), seed)),
        latent(random_values<Real>(s.S * s.C, seed + 100)),
        k_pe(random_values<Real>(s.S * s.R, seed + 200)),
        kv_b(random_values<Real>(s.H * (s.N + s.V) * s.C, seed + 300, 1 / std::sqrt(static_cast<double>(s.C)))) {}

  ref::MlaInput<Real> input() const { return {q.data(), latent.data(), k_pe.data(), kv_b.data()}; }
  std::vector<Real> expanded(double scale) const {
    std::vector<Real> out(static_cast<std::size_t>(s.T * s.H * s.V));
    ref::mla_expanded(s, static_cast<Real>(scale), input(), out.data());
    return out;
  }
  std::vector<Real> absorbed(double scale) const {
    std::vector<Real> out(static_cast<std::size_t>(s.T * s.H * s.V));
    ref::mla_absorbed(s, static_cast<Real>(scale), input(), out.data());
    return out;
  }

  ref::MlaShape s;
  std::vector<Real> q, latent, k_pe, kv_b;
};

// Measured: float at most 3.2e-7, double 9e-16; the mildest mistake below, 0.3.
constexpr double kFloatBound = 2e-6, kDoubleBound = 1e-14, kMistake = 1e-2;

TEST(RefMla, AbsorbedEqualsExpanded) {
  for (std::uint64_t seed : {1, 2, 3}) {
    const MlaCase<float> in(kUneven, seed);
    const MlaCase<double> precise(kUneven, seed);
    const double scale = ref::mla_scale(kUneven);
    EXPECT_LT(difference(in.absorbed(scale), in.expanded(scale)), kFloatBound) << seed;
    EXPECT_LT(difference(precise.absorbed(scale), precise.expanded(scale)), kDoubleBound) << seed;
  }
}

TEST(RefMla, BoundCatchesForgottenMscale) {  // what V3 at YaRN factor 40 would lose
  const MlaCase<float> in(kUneven, /*seed=*/2);
  EXPECT_GT(difference(in.absorbed(ref::mla_scale(kUneven, /*m=*/1.3689)), in.expanded(ref::mla_scale(kUneven))),
            kMistake);
}

TEST(RefMla, BoundCatchesTheHeadsWeightsLaidOutTheOtherWay) {  // all W_uk, then all W_uv
  MlaCase<float> in(kUneven, /*seed=*/3);
  const std::vector<float> right = in.absorbed(ref::mla_scale(kUneven));
  std::vector<float> regrouped;
  for (const bool keys : {true, false})
    for (std::ptrdiff_t h = 0; h < in.s.H; ++h) {
      const std::ptrdiff_t first = h * (in.s.N + in.s.V) + (keys ? 0 : in.s.N), rows = keys ? in.s.N : in.s.V;
      regrouped.insert(regrouped.end(), in.kv_b.begin() + first * in.s.C, in.kv_b.begin() + (first + rows) * in.s.C);
    }
  in.kv_b = regrouped;
  EXPECT_GT(difference(in.expanded(ref::mla_scale(kUneven)), right), kMistake);
}

TEST(RefMla, ScaleIsThatOfTheModels) {  // MODELS.md 2.6
  const ref::MlaShape v3{.T = 1, .S = 1, .H = 128, .N = 128, .R = 64, .V = 128, .C = 512};
  EXPECT_NEAR(ref::mla_scale(v3, 1.3688879), 0.1352338, 1e-7);
  EXPECT_NEAR(ref::mla_scale(v3, 1.2608038), 0.1147214, 1e-7);
}

TEST(RefMla, QueriesOneAtATimeEqualQueriesTogether) {
  const MlaCase<double> whole(kUneven, /*seed=*/4);
  const double scale = ref::mla_scale(kUneven);
  const std::vector<double> together = whole.expanded(scale);
  const std::ptrdiff_t width = kUneven.H * kUneven.V;
  for (std::ptrdiff_t t = 0; t < kUneven.T; ++t) {
    MlaCase<double> one = whole;
    one.s.T = 1;
    one.s.S = kUneven.S - kUneven.T + t + 1;
    one.q.erase(one.q.begin(), one.q.begin() + t * kUneven.H * (kUneven.N + kUneven.R));
    const std::vector<double> row(together.begin() + t * width, together.begin() + (t + 1) * width);
    EXPECT_EQ(one.expanded(scale), row) << t;
    EXPECT_LT(difference(one.absorbed(scale), row), kDoubleBound) << t;
  }
}

TEST(RefMla, GradientsReachQueryLatentSharedKeyAndWeights) {
  MlaCase<double> in({.T = 3, .S = 4, .H = 2, .N = 3, .R = 2, .V = 4, .C = 5}, /*seed=*/5);
  const double scale = ref::mla_scale(in.s);
  const std::vector<double> d_out = random_values(in.s.T * in.s.H * in.s.V, 6);
  const auto forward = [&] { return in.expanded(scale); };
  std::vector<double> d_q(in.q.size(), 0), d_latent(in.latent.size(), 0), d_k_pe(in.k_pe.size(), 0),
      d_kv_b(in.kv_b.size(), 0);
  ref::mla_expanded_backward<double>(in.s, scale, in.input(), d_out.data(),
                                     {d_q.data(), d_latent.data(), d_k_pe.data(), d_kv_b.data()});
  constexpr double kBound = 1e-10;  // measured: at most 3e-12
  EXPECT_LT(difference(d_q, numeric_gradient(in.q, d_out, forward)), kBound);
  EXPECT_LT(difference(d_latent, numeric_gradient(in.latent, d_out, forward)), kBound);
  EXPECT_LT(difference(d_kv_b, numeric_gradient(in.kv_b, d_out, forward)), kBound);
  const std::vector<double> numeric_pe = numeric_gradient(in.k_pe, d_out, forward);
  EXPECT_LT(difference(d_k_pe, numeric_pe), kBound);
  // The shared key's gradient taken from the first head alone.
  MlaCase<double> one_head = in;
  std::vector<double> d_one = d_out;
  for (std::ptrdiff_t i = 0; i < in.s.T * in.s.H * in.s.V; ++i)
    if (i / in.s.V % in.s.H != 0) d_one[static_cast<std::size_t>(i)] = 0;
  std::vector<double> wrong_pe(in.k_pe.size(), 0);
  ref::mla_expanded_backward<double>(in.s, scale, one_head.input(), d_one.data(),
                                     {d_q.data(), d_latent.data(), wrong_pe.data(), d_kv_b.data()});
  EXPECT_GT(difference(wrong_pe, numeric_pe), kMistake);
}

}  // namespace
}  // namespace hadal::testing
