// `hadal synth SHAPE OUT.gguf`: a model with random weights in the sizes of a published one, for benchmarks and for
// trying what a machine can hold before anything is downloaded.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>

#include "base/cancel.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/progress.h"
#include "base/rng.h"
#include "cli/shared_options.h"
#include "cli/synth_vocabulary.h"
#include "kernels/compute.h"
#include "kernels/quantiser.h"
#include "spec/gguf_export.h"
#include "spec/named_shapes.h"

namespace hadal {
namespace {

constexpr const char* kExamples =
    "\nMatrices get the type, or what stands in for it where rows are no whole blocks; the head gets at least q6_k.\n"
    "\nExamples:\n"
    "  hadal synth deepseek-v2-lite /data/lite.gguf --type q4_k     9.6 GB\n"
    "  hadal synth r1-distill-qwen-1.5b qwen.gguf --type q8_0\n"
    "  hadal synth tiny-moe tiny.gguf && hadal bench tiny.gguf\n";

struct SynthOptions {
  std::string shape, out, type = "q4_k";
  std::uint64_t seed = 1;
};

constexpr double kDeviation = 0.02;  // of every matrix: what such models begin training with, nearly

// Blocks of one type to draw from: quantising every value of 15 billion anew would take an hour and measure nothing
// else.
class BlockPool {
 public:
  BlockPool(DType dtype, std::uint64_t seed) : bytes_(static_cast<std::size_t>(std::max(1, block_bytes(dtype)))) {
    const std::size_t values = kBlocks * static_cast<std::size_t>(block_values(dtype));
    std::vector<float> source(values);
    Rng rng(seed);
    for (float& x : source) x = static_cast<float>(kDeviation * rng.next_normal());
    blocks_.resize(size_bytes(dtype, values));
    quantise(*kernels_for(best_isa()), dtype, source.data(), values, nullptr, blocks_.data());
  }

  // Fills `out` with whole blocks in random order.
  void draw(Rng& rng, std::span<std::byte> out) const {
    for (std::size_t at = 0; at < out.size(); at += bytes_)
      std::memcpy(out.data() + at, blocks_.data() + (rng.next_u64() & (kBlocks - 1)) * bytes_, bytes_);
  }
  std::size_t block_bytes_of_type() const { return bytes_; }

 private:
  static constexpr std::size_t kBlocks = 4096;
  std::size_t bytes_;
  std::vector<std::byte> blocks_;
};

// Norms are one, biases zero; routers and whatever else is f32 are drawn like the matrices.
void fill_floats(const GgufTensor& t, const ModelConfig& config, Rng& rng, std::vector<float>& values) {
  const TensorRole role = t.sources.empty() ? TensorRole::final_norm : t.sources[0].role;
  if (t.content == GgufTensor::Content::divisors) {
    values = rope_divisors(config);
  } else if (t.declaration.shape.size() == 1) {
    const bool bias = role == TensorRole::router_bias || role == TensorRole::q_bias || role == TensorRole::k_bias ||
                      role == TensorRole::v_bias;
    std::fill(values.begin(), values.end(), bias ? 0.0f : 1.0f);
  } else {
    for (float& x : values) x = static_cast<float>(kDeviation * rng.next_normal());
  }
}

Status write_tensor(const GgufTensor& t, const ModelConfig& config, std::map<DType, BlockPool>& pools,
                    std::uint64_t seed, Rng& rng, GgufWriter& writer,
                    const std::function<Status(std::uint64_t)>& progress) {
  const std::uint64_t bytes = t.declaration.data_bytes();
  if (t.declaration.dtype == DType::f32) {
    std::vector<float> values(bytes / 4);
    fill_floats(t, config, rng, values);
    HADAL_RETURN_IF_ERROR(writer.append(std::as_bytes(std::span(values))));
    return progress(bytes);
  }
  const BlockPool& pool = pools.try_emplace(t.declaration.dtype, t.declaration.dtype, seed).first->second;
  const std::size_t block = pool.block_bytes_of_type();
  std::vector<std::byte> buffer(std::max<std::size_t>(block, (4u << 20) / block * block));
  for (std::uint64_t left = bytes; left > 0;) {
    const auto piece = std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(left, buffer.size())));
    pool.draw(rng, piece);
    HADAL_RETURN_IF_ERROR(writer.append(piece));
    HADAL_RETURN_IF_ERROR(progress(piece.size()));
    left -= piece.size();
  }
  return Done{};
}

Status run_synth(const SynthOptions& options) {
  const auto config = named_shape(options.shape);
  HADAL_CHECK(config);
  const DType type = *weight_dtype_of(options.type);
  const std::vector<GgufTensor> tensors = gguf_tensors(*config, type);
  std::vector<TensorDeclaration> declarations;
  std::uint64_t total = 0, done = 0;
  for (const GgufTensor& t : tensors) {
    declarations.push_back(t.declaration);
    total += t.declaration.data_bytes();
  }
  HADAL_ASSIGN(GgufKeys keys, gguf_config_keys(*config, options.shape));
  add_synth_vocabulary(*config, keys);

  CancelFlag cancel;
  const InterruptGuard guard(cancel);
  const Stopwatch watch;
  HADAL_ASSIGN(GgufWriter writer, GgufWriter::create(options.out, keys, std::move(declarations)));
  Progress bar(ProgressSink::to(stderr), fmt::format("writing {}", options.out), total);
  std::map<DType, BlockPool> pools;
  Rng rng(options.seed);
  for (const GgufTensor& t : tensors)
    HADAL_RETURN_IF_ERROR(
        write_tensor(t, *config, pools, options.seed, rng, writer, [&](std::uint64_t bytes) -> Status {
          bar.update(done += bytes);
          if (cancel.requested())
            return Error{ErrorKind::cancelled, fmt::format("{}: stopped, nothing is left", options.out)};
          return Done{};
        }));
  HADAL_RETURN_IF_ERROR(writer.commit());
  bar.finish();
  write_out(fmt::format("{}: {} in {} tensors, {:.0f} MB/s\n", options.out, format_bytes(static_cast<double>(total)),
                        tensors.size(), static_cast<double>(total) / watch.elapsed().count() * 1e-6));
  return Done{};
}

}  // namespace

void add_synth_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<SynthOptions>();
  CLI::App* command = app.add_subcommand("synth", "A model with random weights in the sizes of a published one");
  command->footer(fmt::format("\nShapes: {}.\n{}", fmt::join(shape_names(), ", "), kExamples));
  command->add_option("SHAPE", options->shape, "The name of a shape")
      ->required()
      ->check(one_of({shape_names().begin(), shape_names().end()}));
  add_gguf_out(*command, options->out);
  add_block_type_option(*command, options->type);
  command->add_option("--seed", options->seed, "The same seed gives the same file")
      ->check(whole_number(0))
      ->capture_default_str();
  command->callback([options, &result] { result.status = run_synth(*options); });
}

}  // namespace hadal
