#include "chat/tiny_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "base/temp_dir.h"
#include "spec/checkpoint_writer.h"
#include "text/tokenizer.h"

namespace hadal::testing {
namespace {

constexpr int kControlTokens = 7;  // deepseek_special_tokens(), with the lowest ids

std::uint64_t seed_of(std::string_view name) {
  std::uint64_t seed = 17;
  for (const char c : name) seed = seed * 31 + static_cast<unsigned char>(c);
  return seed;
}

bool is_norm(const TensorSpec& spec) {
  return spec.shape.size() == 1 && spec.role != TensorRole::router_bias;
}

// What writes into the residual stream.
bool is_output(TensorRole role) {
  return role == TensorRole::o_proj || role == TensorRole::dense_down || role == TensorRole::expert_down ||
         role == TensorRole::shared_down;
}

void write_model(const std::filesystem::path& directory, const TrainedTokenizer& tokenizer, const TensorRows& rows) {
  const CheckpointOptions options{.more_files = [&](const std::filesystem::path& part) -> Status {
    write_tokenizer(part, tokenizer);
    return Done{};
  }};
  const Status written = write_checkpoint(directory, tiny_config(tokenizer.vocab_size), rows, options);
  EXPECT_TRUE(written.ok()) << written.error().message;
}

// element(row, column) into all of `out`.
template <class Element>
Status fill(const TensorSpec& spec, std::int64_t first_row, std::int64_t rows, std::span<float> out, Element element) {
  const std::int64_t width = spec.elements() / spec.shape[0];
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < width; ++c) out[static_cast<std::size_t>(r * width + c)] = element(first_row + r, c);
  return Done{};
}

}  // namespace

TrainedTokenizer tiny_tokenizer(std::string_view words, BpeTrainerOptions options) {
  auto trainer = BpeTrainer::create(std::move(options));
  HADAL_CHECK(trainer.ok());
  for (int seen = 0; seen < 2; ++seen) trainer->add(words);  // min_count
  auto trained = trainer->train();
  HADAL_CHECK(trained.ok());
  return std::move(*trained);
}

Tokenizer opened(const TrainedTokenizer& files) {
  auto tokenizer = Tokenizer::from_json(files.tokenizer_json, "tokenizer.json");
  HADAL_CHECK(tokenizer.ok());
  HADAL_CHECK(tokenizer->apply_config(files.tokenizer_config_json, "tokenizer_config.json").ok());
  return std::move(*tokenizer);
}

void write_tokenizer(const std::filesystem::path& directory, const TrainedTokenizer& files) {
  write_file(directory / "tokenizer.json", files.tokenizer_json);
  write_file(directory / "tokenizer_config.json", files.tokenizer_config_json);
}

ModelConfig tiny_config(int vocab_size) {
  ModelConfig c;
  c.vocab_size = vocab_size;
  c.hidden_size = 48;
  c.intermediate_size = 24;
  c.moe_intermediate_size = 12;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 2;
  c.kv_lora_rank = 16;
  c.qk_nope_head_dim = 8;
  c.qk_rope_head_dim = 4;
  c.v_head_dim = 8;
  c.n_routed_experts = 4;
  c.n_shared_experts = 1;
  c.num_experts_per_tok = 2;
  c.first_k_dense_replace = 1;
  c.max_position_embeddings = kTinyContext;
  c.bos_token_id = TokenId{0};
  c.eos_token_ids = {TokenId{1}};
  return c;
}

// Column 0 of the residual stream is 4 in every row, and the head turns it against control tokens.
void write_babbler(const std::filesystem::path& directory) {
  write_model(directory, tiny_tokenizer("the deep sea is dark and cold"),
              [](const TensorSpec& spec, std::int64_t first_row, std::int64_t rows, std::span<float> out) {
                const std::int64_t width = spec.elements() / spec.shape[0];
                Rng rng(seed_of(spec.name), static_cast<std::uint64_t>(2 * first_row * width));  // two draws a number
                return fill(spec, first_row, rows, out, [&](std::int64_t row, std::int64_t column) {
                  const float normal = static_cast<float>(rng.next_normal());
                  if (is_norm(spec)) return 1.0f;
                  if (spec.role == TensorRole::embed_tokens) return column == 0 ? 4.0f : normal;
                  if (spec.role == TensorRole::lm_head && column == 0) return row < kControlTokens ? -40.0f : 0.0f;
                  if (spec.role == TensorRole::lm_head) return 0.5f * normal;
                  return is_output(spec.role) && row == 0 ? 0.0f : 0.2f * normal;
                });
              });
}

// Layers add nothing. Step i of the script has a direction of its own: the embedding of its token points there, and the
// head's row of the next token too. All other tokens point at the end.
void write_reciter(const std::filesystem::path& directory, std::string_view script, BpeTrainerOptions options) {
  std::string words;  // without what must stay bytes
  std::copy_if(script.begin(), script.end(), std::back_inserter(words), [](char c) { return (c & 0x80) == 0; });
  const TrainedTokenizer files = tiny_tokenizer(words, std::move(options));
  const Tokenizer tokenizer = opened(files);
  std::vector<TokenId> said = tokenizer.encode("\n");
  HADAL_CHECK(said.size() == 1);
  for (const TokenId id : tokenizer.encode(script, SpecialTokens::parse)) said.push_back(id);
  const std::int64_t end = tiny_config(1).hidden_size - 1;
  HADAL_CHECK(static_cast<std::int64_t>(said.size()) < end);
  std::map<std::int64_t, std::int64_t> direction, direction_before;  // of a token, of the token before it
  for (std::size_t i = 0; i < said.size(); ++i) {
    const auto step = static_cast<std::int64_t>(i);
    HADAL_CHECK(direction.emplace(index(said[i]), i + 1 < said.size() ? step : end).second);
    if (i > 0) direction_before[index(said[i])] = step - 1;
  }
  direction_before[index(*tokenizer.eos())] = end;
  const auto of = [](const auto& map, std::int64_t token, std::int64_t absent) {
    const auto found = map.find(token);
    return found == map.end() ? absent : found->second;
  };
  write_model(directory, files,
              [&](const TensorSpec& spec, std::int64_t first_row, std::int64_t rows, std::span<float> out) {
                return fill(spec, first_row, rows, out, [&](std::int64_t row, std::int64_t column) {
                  if (is_norm(spec)) return 1.0f;
                  if (spec.role == TensorRole::embed_tokens) return of(direction, row, end) == column ? 1.0f : 0.0f;
                  if (spec.role == TensorRole::lm_head) return of(direction_before, row, -1) == column ? 8.0f : 0.0f;
                  return is_output(spec.role) ? 0.0f : 0.1f;
                });
              });
}

const std::filesystem::path& babbler() {
  static const TempDir folder;
  static const std::filesystem::path directory = [] {
    write_babbler(folder / "babbler");
    return folder / "babbler";
  }();
  return directory;
}

const std::filesystem::path& reciter() {
  static const TempDir folder;
  static const std::filesystem::path directory = [] {
    write_reciter(folder / "reciter", std::string(kReasoning) + "</think>" + std::string(kAnswer));
    return folder / "reciter";
  }();
  return directory;
}

void copy_model(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(to))
    std::filesystem::permissions(entry, std::filesystem::perms::owner_write, std::filesystem::perm_options::add);
}

void replace_in_file(const std::filesystem::path& path, std::string_view from, std::string_view to) {
  std::string bytes = read_file(path);
  const std::size_t at = bytes.find(from);
  ASSERT_NE(at, std::string::npos) << path << " has no " << from;
  ASSERT_EQ(from.size(), to.size());
  write_file(path, bytes.replace(at, from.size(), to));
}

}  // namespace hadal::testing
