// Every main kernel at the shapes of the built-in model and of DeepSeek-V2-Lite, beside what this machine reaches with
// large matrix products and when it reads memory, all measured in the same minute.
//
//   bench_kernels [seconds] [threads] [isa]      all optional: 30 s, all threads, the best instruction set
//
// Question: how near is each kernel to what bounds it? The table is the one of docs/kernels.md.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/rng.h"
#include "kernels/attention.h"
#include "kernels/kernel_table.h"
#include "kernels/machine_limits.h"
#include "kernels/router.h"
#include "measure.h"

namespace hadal {
namespace {

// The sizes of one model that its kernels see; letters as in docs/shapes.md.
struct Shape {
  const char* name;
  int D, F, C, H, N, R, V, E, K;
  int experts_held;  // with weights of their own, from which decode takes turns: more than the caches hold for V2-Lite
  int experts_prompt;  // that a prompt's product takes at once, few enough for a run of some milliseconds
  int prompt, depth;   // rows of a prompt's batch; positions behind a decoded token
};
constexpr Shape kBuiltIn{"built-in", 256, 128, 64, 4, 32, 16, 32, 32, 4, 32, 32, 512, 512};
constexpr Shape kLite{"V2-Lite", 2048, 1408, 512, 16, 128, 64, 128, 64, 6, 24, 2, 512, 2048};
constexpr int kBuiltInVocab = 4096;

struct Case {
  std::string model, kernel, size;
  double flops, bytes;        // of one run; bytes: what must be read and written at least
  std::function<void()> run;  // owns what it needs
  int repeats = 1;            // runs that make a millisecond
  double best_seconds = 1e9;
};

using Floats = std::shared_ptr<FloatBuffer>;  // begins on a cache line, as activations and latents do

Floats random_floats(std::size_t count) {  // every 4096 floats alike: the values do not matter, NaN and zero would
  static const std::vector<float> some = [] {
    std::vector<float> values(4096);
    Rng rng(1);
    for (float& v : values) v = static_cast<float>(rng.next_normal());
    return values;
  }();
  auto all = std::make_shared<FloatBuffer>();
  float* values = all->ensure(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = some[i % some.size()];
  return all;
}
std::size_t size(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

class Suite {
 public:
  explicit Suite(const Compute& compute) : compute_(compute) {}

  // One product with one matrix, or with `experts` of them, `rows` of each; they take turns from run to run with all
  // `held`, so that weights come from where they would come from.
  void add_products(const Shape& s, const char* kernel, int rows, int outputs, int inputs, int experts = 1,
                    int held = 1) {
    struct State {
      std::vector<PackedMatrix> weights;
      Floats x, y;
      std::vector<MatmulJob> jobs;
      std::size_t next = 0;
    };
    auto state = std::make_shared<State>();
    const Floats from = random_floats(size(outputs, inputs));
    state->weights.resize(static_cast<std::size_t>(held));
    for (PackedMatrix& matrix : state->weights) {
      matrix.allocate(compute_.arithmetic, outputs, inputs);
      const PackJob job{.from = from->data(), .stride = inputs, .to = &matrix};
      pack(compute_, std::span(&job, 1));
    }
    state->x = random_floats(size(rows * experts, inputs));
    state->y = random_floats(size(rows * experts, outputs));
    const double products = static_cast<double>(rows) * experts * outputs * inputs;
    cases_.push_back(
        {s.name, kernel, sizes(rows, outputs, inputs, experts), 2 * products,
         experts * static_cast<double>(state->weights[0].bytes()) + 4.0 * rows * experts * (inputs + outputs),
         [this, state, rows, outputs, inputs, experts] {
           state->jobs.clear();
           for (int e = 0; e < experts; ++e)
             state->jobs.push_back({.weights = &state->weights[state->next++ % state->weights.size()],
                                    .x = state->x->data() + size(e * rows, inputs),
                                    .x_stride = inputs,
                                    .y = state->y->data() + size(e * rows, outputs),
                                    .y_stride = outputs,
                                    .rows = rows});
           matmul(compute_, state->jobs);
         }});
  }

  void add_weight_gradients(const Shape& s, int rows, int outputs, int inputs, int experts) {
    const Floats dy = random_floats(size(rows * experts, outputs)), x = random_floats(size(rows * experts, inputs)),
                 dw = random_floats(size(outputs * experts, inputs));
    std::vector<WeightGradientJob> jobs;
    for (int e = 0; e < experts; ++e)
      jobs.push_back({.dy = dy->data() + size(e * rows, outputs),
                      .dy_stride = outputs,
                      .x = x->data() + size(e * rows, inputs),
                      .x_stride = inputs,
                      .dw = dw->data() + size(e * outputs, inputs),
                      .dw_stride = inputs,
                      .rows = rows,
                      .outputs = outputs,
                      .inputs = inputs});
    const double elements = static_cast<double>(outputs) * inputs * experts;
    cases_.push_back({s.name, "weight gradient", sizes(rows, outputs, inputs, experts), 2 * elements * rows,
                      8 * elements + 4.0 * rows * experts * (outputs + inputs),
                      [this, jobs, dy, x, dw] { weight_gradient(compute_, jobs); }});
  }

  void add_pack(const Shape& s, int outputs, int inputs) {  // what a training step does to every weight
    auto matrix = std::make_shared<PackedMatrix>();
    matrix->allocate(compute_.arithmetic, outputs, inputs);
    const Floats from = random_floats(size(outputs, inputs));
    cases_.push_back({s.name, "pack", fmt::format("[{}, {}]", outputs, inputs), 0,
                      4.0 * outputs * inputs + static_cast<double>(matrix->bytes()), [this, matrix, from, inputs] {
                        const PackJob job{.from = from->data(), .stride = inputs, .to = matrix.get()};
                        pack(compute_, std::span(&job, 1));
                      }});
  }

  // A prompt of its own positions, four heads. Counted are the pairs that a causal mask leaves.
  void add_expanded(const Shape& s) {
    const int T = s.prompt, H = 4, G = s.N + s.R, pair = s.N + s.V;
    const Floats q = random_floats(size(T, H * G)), kv = random_floats(size(T, H * pair)),
                 pe = random_floats(size(T, s.R)), out = random_floats(size(T, H * s.V)),
                 lse = random_floats(size(T, H)), d_q = random_floats(q->capacity()),
                 d_kv = random_floats(kv->capacity()), d_pe = random_floats(size(T, H * s.R));
    std::vector<AttentionTile> tiles;
    std::vector<AttentionTileBackward> back;
    for (int h = 0; h < H; ++h) {
      tiles.push_back({.q = q->data() + h * G,
                       .q_stride = H * G,
                       .k_nope = kv->data() + h * pair,
                       .k_nope_stride = H * pair,
                       .k_pe = pe->data(),
                       .k_pe_stride = s.R,
                       .v = kv->data() + h * pair + s.N,
                       .v_stride = H * pair,
                       .out = out->data() + h * s.V,
                       .out_stride = H * s.V,
                       .lse = lse->data() + size(h, T),
                       .rows = T,
                       .positions = T,
                       .nope = s.N,
                       .rope = s.R,
                       .value = s.V,
                       .scale = 1 / std::sqrt(static_cast<float>(G)),
                       .scratch = nullptr});
      back.push_back({.forward = tiles.back(),
                      .d_out = out->data() + h * s.V,
                      .d_out_stride = H * s.V,
                      .d_q = d_q->data() + h * G,
                      .d_q_stride = H * G,
                      .d_k_nope = d_kv->data() + h * pair,
                      .d_k_nope_stride = H * pair,
                      .d_k_pe = d_pe->data() + h * s.R,
                      .d_k_pe_stride = H * s.R,
                      .d_v = d_kv->data() + h * pair + s.N,
                      .d_v_stride = H * pair});
    }
    const double pairs = 0.5 * T * (T + 1) * H, bytes = 4.0 * T * H * (G + pair + s.V) + 4.0 * T * s.R;
    const std::string text = fmt::format("{} tokens, {} heads of {}+{}", T, H, G, s.V);
    cases_.push_back({s.name, "attention, expanded", text, 2 * pairs * (G + s.V), bytes,
                      [this, tiles, q, kv, pe, out, lse] { attention(compute_, tiles); }});
    // Scores again, then the products of dV, dP, dQ and dK.
    cases_.push_back({s.name, "attention backward", text, 2 * pairs * (3 * G + 2 * s.V), 2 * bytes,
                      [this, back, q, kv, pe, out, lse, d_q, d_kv, d_pe] { attention_backward(compute_, back); }});
  }

  // One decoded token over its cached latents: tiles of eight heads, or of fewer where that gives every thread one, as
  // model/mla.cc makes them.
  void add_absorbed(const Shape& s) {
    constexpr int kPage = 64;
    const int threads = compute_.pool->threads(),
              heads = (s.H + 7) / 8 >= threads ? 8 : std::clamp(s.H / threads, 1, 8);
    const int width = s.C + s.R;
    const std::size_t row_bytes = (size(width, 2) + 63) / 64 * 64;
    auto latents = std::make_shared<Buffer<std::uint16_t>>();
    const std::size_t elements = row_bytes / 2 * static_cast<std::size_t>(s.depth);
    const Floats q = random_floats(size(s.H, width)), out = random_floats(size(s.H, s.C)),
                 values = random_floats(elements);
    compute_.kernels->narrow_row(values->data(), static_cast<int>(elements), static_cast<int>(elements),
                                 latents->ensure(elements));
    auto pages = std::make_shared<std::vector<const std::byte*>>();
    for (int p = 0; p < s.depth; p += kPage)
      pages->push_back(reinterpret_cast<const std::byte*>(latents->data()) + static_cast<std::size_t>(p) * row_bytes);
    std::vector<AbsorbedTile> tiles;
    for (int h = 0; h < s.H; h += heads)
      tiles.push_back({.q = q->data() + size(h, width),
                       .q_stride = width,
                       .pages = pages->data(),
                       .row_bytes = row_bytes,
                       .out = out->data() + size(h, s.C),
                       .out_stride = s.C,
                       .heads = std::min(heads, s.H - h),
                       .positions = s.depth,
                       .latent = s.C,
                       .rope = s.R,
                       .scale = 0.01f,
                       .scratch = nullptr});
    cases_.push_back({s.name, "attention, absorbed", fmt::format("{} positions, {} heads of {}", s.depth, s.H, width),
                      2.0 * s.depth * s.H * (2 * s.C + s.R), static_cast<double>(elements) * 2,
                      [this, tiles, q, out, latents, pages] { absorbed_attention(compute_, tiles); }});
  }

  // Element-wise kernels, 64 rows a thread at a time as in model/. `floats`: read and written a row.
  void add_rows(const Shape& s, const char* kernel, int n, double floats,
                std::function<void(float* in, float* out)> body) {
    constexpr int kRows = 64;
    const int rows = s.prompt;
    const Floats in = random_floats(size(rows, 2 * n)), out = random_floats(size(rows, n));
    cases_.push_back(
        {s.name, kernel, fmt::format("[{}, {}]", rows, n), 0, 4.0 * rows * floats, [this, in, out, rows, n, body] {
           compute_.pool->parallel_for((rows + kRows - 1) / kRows, [&](int block, int) {
             for (int t = block * kRows; t < std::min(rows, (block + 1) * kRows); ++t)
               body(in->data() + size(t, 2 * n), out->data() + size(t, n));
           });
         }});
  }

  std::vector<Case>& cases() { return cases_; }
  const KernelTable& kernels() const { return *compute_.kernels; }

 private:
  static std::string sizes(int rows, int outputs, int inputs, int experts) {
    const std::string one = fmt::format("[{}, {}] x [{}, {}]", rows, inputs, inputs, outputs);
    return experts == 1 ? one : fmt::format("{} x {}", experts, one);
  }

  const Compute& compute_;
  std::vector<Case> cases_;
};

void add_model(const Shape& s, Suite& suite) {
  const int slots = s.prompt * s.K / s.E;
  suite.add_products(s, "keys and values, prompt", s.prompt, s.H * (s.N + s.V), s.C);
  suite.add_products(s, "experts gate+up, prompt", slots, 2 * s.F, s.D, s.experts_prompt, s.experts_prompt);
  suite.add_products(s, "experts down, prompt", slots, s.D, s.F, s.experts_prompt, s.experts_prompt);
  suite.add_products(s, "experts gate+up, decode", 1, 2 * s.F, s.D, s.K, s.experts_held);
  suite.add_products(s, "experts down, decode", 1, s.D, s.F, s.K, s.experts_held);
  suite.add_products(s, "to and from latents, decode", 1, s.C, s.N, s.H, s.H);
  suite.add_weight_gradients(s, s.prompt / 2, s.F, s.D, s.experts_prompt / 2);
  suite.add_pack(s, 2 * s.F, s.D);
  suite.add_expanded(s);
  suite.add_absorbed(s);
  const KernelTable& kernels = suite.kernels();
  const auto weights = random_floats(static_cast<std::size_t>(s.D));
  suite.add_rows(s, "RMSNorm", s.D, 2.0 * s.D, [&kernels, weights, n = s.D](float* in, float* out) {
    kernels.rms_norm(in, weights->data(), n, 1e-6f, out);
  });
  suite.add_rows(s, "SwiGLU", s.F, 3.0 * s.F,
                 [&kernels, n = s.F](float* in, float* out) { kernels.swiglu(in, in + n, 1.0f, n, out); });
  const RouterRule rule{s.E, s.K, 1, 1, RouterRule::Score::sigmoid, RouterRule::GroupScore::none, true, 1.0f};
  suite.add_rows(s, "router", s.E, 2.0 * s.E, [&kernels, rule](float* in, float* out) {
    std::copy_n(in, rule.experts, out);
    ExpertId chosen[16];
    float weight[16];
    route(kernels, rule, out, nullptr, chosen, weight);
  });
}

struct Limits {
  double bf16_product = 0, f32_product = 0;
  MachineLimits machine;
};
void keep_best(double& best, double now) {
  best = std::max(best, now);
}

// Runs every case and every limit in turn and keeps the best of each: on a shared machine that is the round in which
// nobody else was there, and a median would favour what is short enough to slip through.
Limits measure(const Compute& fast, double seconds, std::vector<Case>& cases) {
  const Compute exact{fast.pool, Arithmetic::exact, fast.kernels};
  constexpr double kShortest = 1e-3;
  constexpr int kProductRows = 4 * 96;  // two milliseconds, as most cases, in parts of one size
  for (Case& c : cases) {
    c.run();  // touches the memory
    const Stopwatch watch;
    c.run();
    c.repeats = static_cast<int>(std::clamp(kShortest / watch.elapsed().count(), 1.0, 10000.0));
  }
  Limits limits;
  const Stopwatch all;
  for (int round = 0; round < 3 || all.elapsed().count() < seconds; ++round) {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      Case& c = cases[i];
      if (i % 8 == 0) {
        keep_best(limits.bf16_product, gemm_rate(fast, kProductRows));
        keep_best(limits.f32_product, gemm_rate(exact, kProductRows));
      }
      const Stopwatch watch;
      for (int r = 0; r < c.repeats; ++r) c.run();
      c.best_seconds = std::min(c.best_seconds, watch.elapsed().count() / c.repeats);
    }
    const MachineLimits machine = measure_machine_limits(fast);
    keep_best(limits.machine.bf16_flops, machine.bf16_flops);
    keep_best(limits.machine.f32_flops, machine.f32_flops);
    keep_best(limits.machine.read_bytes_per_second, machine.read_bytes_per_second);
  }
  return limits;
}

void print(const Compute& compute, const Limits& limits, const std::vector<Case>& cases) {
  const double product = limits.bf16_product, read = limits.machine.read_bytes_per_second;
  fmt::print("{}, {} threads. Large product: bf16 {:.0f}, f32 {:.0f} GFLOP/s; registers only: ",
             isa_name(compute.kernels->isa), compute.pool->threads(), product * 1e-9, limits.f32_product * 1e-9);
  fmt::print("bf16 {:.0f}, f32 {:.0f} GFLOP/s; reading memory: {:.1f} GB/s.\n\n", limits.machine.bf16_flops * 1e-9,
             limits.machine.f32_flops * 1e-9, read * 1e-9);
  fmt::print("| model | kernel | size | µs | GFLOP/s | of large product | GB/s | of reading |\n");
  fmt::print("|---|---|---|--:|--:|--:|--:|--:|\n");
  for (const Case& c : cases) {
    const double flops = c.flops / c.best_seconds, bytes = c.bytes / c.best_seconds;
    const std::string rate =
        c.flops > 0 ? fmt::format("{:.0f} | {:.0f} %", flops * 1e-9, 100 * flops / product) : "– | –";
    fmt::print("| {} | {} | {} | {:.1f} | {} | {:.1f} | {:.0f} % |\n", c.model, c.kernel, c.size, c.best_seconds * 1e6,
               rate, bytes * 1e-9, 100 * bytes / read);
  }
}

int run(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 30;
  ThreadPool pool(argc > 2 ? std::atoi(argv[2]) : 0);
  Isa isa = best_isa();
  if (argc > 3) {
    const auto* asked =
        std::find_if(std::begin(kIsas), std::end(kIsas), [&](Isa i) { return argv[3] == std::string(isa_name(i)); });
    if (asked == std::end(kIsas)) {
      fmt::print(stderr, "bench_kernels: expected portable, avx2, avx512 or avx512_bf16, found {}\n", argv[3]);
      return 2;
    }
    isa = *asked;
  }
  const Result<Compute> compute = make_compute(pool, Arithmetic::fast, isa);
  if (!compute.ok()) {
    fmt::print(stderr, "bench_kernels: {}\n", compute.error().message);
    return 1;
  }
  Suite suite(*compute);
  suite.add_products(kBuiltIn, "head, prompt", kBuiltIn.prompt, kBuiltInVocab, kBuiltIn.D);
  suite.add_products(kBuiltIn, "head, decode", 1, kBuiltInVocab, kBuiltIn.D);
  add_model(kBuiltIn, suite);
  add_model(kLite, suite);
  const Limits limits = measure(*compute, seconds, suite.cases());
  print(*compute, limits, suite.cases());
  return 0;
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) {
  return hadal::run(argc, argv);
}
