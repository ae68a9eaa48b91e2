// The golden models as tests use them: a directory of /goldens/models opened with
// hadal's own reader, its tokens, and the relative L2 distance of the READMEs.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "model/transformer.h"
#include "spec/open_checkpoint.h"

namespace hadal::testing {

struct GoldenModel {
  std::string directory;
  ModelConfig config;
  std::unique_ptr<TensorSource> weights;
  std::unique_ptr<Safetensors> golden;

  std::vector<float> floats(const std::string& name) const {
    const auto view = golden->find(name);
    EXPECT_TRUE(view.has_value()) << directory << ": " << name;
    return view ? floats_of(*view) : std::vector<float>();
  }
  std::vector<TokenId> tokens() const {
    std::vector<TokenId> ids;
    for (const std::int64_t t : integers_of(*golden->find("tokens"))) ids.push_back(static_cast<TokenId>(t));
    return ids;
  }
  // Without scales fp8 weights are rounded to bf16 together with them.
  WeightSource source(bool with_scales = true) const {
    return {.read = [this](const TensorSpec& t, std::int64_t first, std::int64_t rows,
                           float* out) { return read_rows_f32(*weights, t, config, first, rows, out); },
            .scales = !with_scales ? nullptr
                                   : std::function<Result<BlockScales>(const TensorSpec&)>([this](const TensorSpec& t) {
                                       return read_block_scales(*weights, t, config);
                                     }),
            .stored = [this](const TensorSpec& t) { return weights->find(t.name); }};
  }
};

// `path`: of the model, relative to the goldens; `golden` beside it.
inline GoldenModel open_golden_file(const std::string& path, const std::string& golden_path) {
  GoldenModel m;
  m.directory = std::string(HADAL_GOLDENS) + "/" + path;
  auto checkpoint = open_checkpoint(m.directory);
  auto golden = Safetensors::open(std::string(HADAL_GOLDENS) + "/" + golden_path);
  EXPECT_TRUE(checkpoint.ok()) << (checkpoint.ok() ? "" : checkpoint.error().message);
  EXPECT_TRUE(golden.ok()) << (golden.ok() ? "" : golden.error().message);
  m.config = checkpoint->config;
  m.weights = std::move(checkpoint->tensors);
  m.golden = std::make_unique<Safetensors>(std::move(golden).value());
  return m;
}
inline GoldenModel open_golden(const std::string& name) {
  return open_golden_file("models/" + name, "models/" + name + "/golden.safetensors");
}
inline GoldenModel open_gguf_golden(const std::string& name) {
  return open_golden_file("gguf/" + name + "/" + name + ".gguf", "gguf/" + name + "/golden.safetensors");
}

inline double distance(const std::vector<float>& x, const std::vector<float>& golden) {
  EXPECT_EQ(x.size(), golden.size());
  double d = 0, n = 0;
  for (std::size_t i = 0; i < std::min(x.size(), golden.size()); ++i) {
    d += std::pow(static_cast<double>(x[i]) - static_cast<double>(golden[i]), 2);
    n += std::pow(static_cast<double>(golden[i]), 2);
  }
  return std::sqrt(d / n);
}

// A latent cache for one sequence: pages one after another.
struct OneSequenceCache {
  std::vector<std::byte> memory;
  std::vector<PageId> pages;
  LatentStore store;

  OneSequenceCache(const LatentLayout& layout, int positions) {
    const int count = (positions + kPageTokens - 1) / kPageTokens;
    memory.resize(layout.page_bytes() * static_cast<std::size_t>(count * layout.layers) + 64);
    for (int p = 0; p < count; ++p) pages.push_back(static_cast<PageId>(p));
    auto* base = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
    store = {base, layout.page_bytes() * static_cast<std::size_t>(count), layout.page_bytes(), layout.row_bytes};
  }
};

// All logits [T, V] when the tokens are fed `chunk` at a time.
inline std::vector<float> logits_in_chunks(Transformer& model, const std::vector<TokenId>& tokens, int chunk) {
  const int total = static_cast<int>(tokens.size()), vocab = model.config().vocab_size;
  OneSequenceCache cache(model.latent_layout(), total);
  std::vector<float> logits(static_cast<std::size_t>(total) * static_cast<std::size_t>(vocab));
  for (int first = 0; first < total; first += chunk) {
    const int n = std::min(chunk, total - first);
    const Segment segment{0, n, first, cache.pages};
    std::vector<int> rows(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) rows[static_cast<std::size_t>(i)] = i;
    model.forward(
        {std::span(tokens).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n)), {&segment, 1}, rows},
        cache.store,
        std::span(logits).subspan(static_cast<std::size_t>(first) * static_cast<std::size_t>(vocab),
                                  static_cast<std::size_t>(n) * static_cast<std::size_t>(vocab)));
  }
  return logits;
}

}  // namespace hadal::testing
