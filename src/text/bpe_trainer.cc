#include "text/bpe_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <queue>
#include <unordered_map>

#include "text/added_tokens.h"
#include "text/byte_level.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace hadal {
namespace {

constexpr int kMaxVocabulary = 1 << 20;  // what Tokenizer reads
constexpr int kBytes = 256;

// Steps 2 and 3 of DeepSeek-V3; step 1 takes one digit where V3 takes up to three.
constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kCjk = "[一-龥぀-ゟ゠-ヿ]+";
constexpr std::string_view kWords =
    R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";

using OrderedJson = nlohmann::ordered_json;  // the order that people expect to read, and a stable file

template <class AnyJson>
AnyJson pre_tokenizer_json() {
  AnyJson steps = AnyJson::array();
  for (const std::string_view pattern : {kDigit, kCjk, kWords}) {
    AnyJson step;
    step["type"] = "Split";
    step["pattern"]["Regex"] = std::string(pattern);
    step["behavior"] = "Isolated";
    step["invert"] = false;
    steps.push_back(step);
  }
  AnyJson bytes;
  bytes["type"] = "ByteLevel";
  bytes["add_prefix_space"] = false;
  bytes["trim_offsets"] = true;
  bytes["use_regex"] = false;
  steps.push_back(bytes);
  AnyJson sequence;
  sequence["type"] = "Sequence";
  sequence["pretokenizers"] = steps;
  return sequence;
}

struct Merge {
  std::int32_t left, right;
};

// Learns merges from words and their counts. All pairs are counted once; a merge then touches only the words
// that hold its pair.
class MergeLearner {
 public:
  MergeLearner(const BpeTrainerOptions& options, std::vector<std::string> tokens)
      : options_(options), tokens_(std::move(tokens)) {
    first_byte_ = static_cast<std::int32_t>(tokens_.size()) - kBytes;
    for (std::int32_t id = 0; id < static_cast<std::int32_t>(tokens_.size()); ++id) {
      // A special token occupies the spelling that a merged token of these bytes would have.
      const auto bytes = id < first_byte_ ? from_byte_level(tokens_[id]) : tokens_[id];
      if (bytes) ids_.emplace(*bytes, id);
    }
  }

  void add_word(std::string_view bytes, std::int64_t count) {
    Word word{{}, count};
    for (const char byte : bytes) word.symbols.push_back(first_byte_ + static_cast<std::uint8_t>(byte));
    const auto at = static_cast<std::int32_t>(words_.size());
    for (std::size_t i = 0; i + 1 < word.symbols.size(); ++i) change(word.symbols[i], word.symbols[i + 1], count, at);
    words_.push_back(std::move(word));
  }

  void learn() {
    for (const auto& [pair, uses] : pairs_) offer(pair, uses.count);
    while (static_cast<int>(tokens_.size()) < options_.vocab_size && !queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const auto uses = pairs_.find(best.pair);
      if (uses == pairs_.end()) continue;
      if (uses->second.count != best.count) {  // stale: its count has changed since
        offer(best.pair, uses->second.count);
        continue;
      }
      const Merge merge{static_cast<std::int32_t>(best.pair >> 32), static_cast<std::int32_t>(best.pair & 0xFFFFFFFFu)};
      const auto product = product_of(merge);
      const std::vector<std::int32_t> holders = std::move(uses->second.words);
      pairs_.erase(uses);
      if (!product) continue;
      merges_.push_back(merge);
      touched_.clear();
      for (const std::int32_t word : holders) apply(merge, *product, word);
      for (const std::uint64_t pair : touched_) {
        const auto now = pairs_.find(pair);
        if (now != pairs_.end()) offer(pair, now->second.count);
      }
    }
  }

  const std::vector<std::string>& tokens() const { return tokens_; }
  const std::vector<Merge>& merges() const { return merges_; }

 private:
  struct Word {
    std::vector<std::int32_t> symbols;
    std::int64_t count;
  };
  struct Uses {
    std::int64_t count = 0;
    std::vector<std::int32_t> words;  // that hold or held the pair; ascending within one merge, may repeat
  };
  struct Candidate {
    std::int64_t count;
    std::uint64_t pair;  // left << 32 | right
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  void offer(std::uint64_t pair, std::int64_t count) {
    if (count >= options_.min_count) queue_.push({count, pair});
  }

  void change(std::int32_t left, std::int32_t right, std::int64_t by, std::int32_t word) {
    const std::uint64_t pair = std::uint64_t(std::uint32_t(left)) << 32 | std::uint32_t(right);
    Uses& uses = pairs_[pair];
    uses.count += by;
    if (by > 0 && (uses.words.empty() || uses.words.back() != word)) uses.words.push_back(word);
    touched_.push_back(pair);
  }

  // The id of the merged token, new or known by another merge; nothing when there must be no such token.
  std::optional<std::int32_t> product_of(Merge merge) {
    std::string bytes = tokens_[merge.left] + tokens_[merge.right];
    if (static_cast<int>(bytes.size()) > options_.max_token_bytes) return std::nullopt;
    const auto next = static_cast<std::int32_t>(tokens_.size());
    const auto [known, is_new] = ids_.emplace(bytes, next);
    if (!is_new && known->second < first_byte_) return std::nullopt;  // a special token is spelled so
    if (is_new) tokens_.push_back(std::move(bytes));
    return known->second;
  }

  void apply(Merge merge, std::int32_t product, std::int32_t at) {
    Word& word = words_[at];
    std::vector<std::int32_t>& symbols = word.symbols;
    std::size_t out = 0;
    for (std::size_t i = 0; i < symbols.size();) {
      if (i + 1 == symbols.size() || symbols[i] != merge.left || symbols[i + 1] != merge.right) {
        symbols[out++] = symbols[i++];
        continue;
      }
      if (out > 0) {
        change(symbols[out - 1], merge.left, -word.count, at);
        change(symbols[out - 1], product, word.count, at);
      }
      if (i + 2 < symbols.size()) {
        change(merge.right, symbols[i + 2], -word.count, at);
        change(product, symbols[i + 2], word.count, at);
      }
      symbols[out++] = product;
      i += 2;
    }
    symbols.resize(out);
  }

  const BpeTrainerOptions& options_;
  std::vector<std::string> tokens_;  // special tokens, bytes, products
  std::unordered_map<std::string, std::int32_t> ids_;
  std::int32_t first_byte_ = 0;
  std::vector<Word> words_;
  std::unordered_map<std::uint64_t, Uses> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<std::uint64_t> touched_;
  std::vector<Merge> merges_;
};

OrderedJson added_token_json(const std::string& content, int id) {
  // As in DeepSeek's files: the think tags and the roles are no "special" tokens, so that clients which skip those
  // still see them. `hadal` cuts both kinds the same way.
  const bool special = content.find("begin▁of") != std::string::npos || content.find("end▁of") != std::string::npos ||
                       content.find("▁pad▁") != std::string::npos;
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

std::string tokenizer_json(const BpeTrainerOptions& options, const MergeLearner& learner) {
  OrderedJson json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = OrderedJson::array();
  OrderedJson vocab = OrderedJson::object(), merges = OrderedJson::array();
  const auto special_count = options.special_tokens.size();
  for (std::size_t id = 0; id < special_count; ++id)
    json["added_tokens"].push_back(added_token_json(options.special_tokens[id], static_cast<int>(id)));
  std::vector<std::string> spellings;
  for (std::size_t id = 0; id < learner.tokens().size(); ++id)
    spellings.push_back(id < special_count ? learner.tokens()[id] : to_byte_level(learner.tokens()[id]));
  auto& entries = vocab.get_ref<OrderedJson::object_t&>();  // operator[] searches: quadratic
  for (std::size_t id = 0; id < spellings.size(); ++id) entries.emplace_back(spellings[id], id);
  for (const Merge& merge : learner.merges()) merges.push_back(spellings[merge.left] + " " + spellings[merge.right]);
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = pre_tokenizer_json<OrderedJson>();
  json["post_processor"] = {
      {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}};
  json["decoder"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  json["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", false},
                   {"vocab", std::move(vocab)},
                   {"merges", std::move(merges)}};
  return json.dump(1) + "\n";
}

std::string tokenizer_config_json(const BpeTrainerOptions& options) {
  OrderedJson config;
  const auto name_if_there = [&](const char* key, const char* name) {
    const auto& all = options.special_tokens;
    if (std::find(all.begin(), all.end(), name) != all.end()) config[key] = name;
  };
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  name_if_there("bos_token", "<｜begin▁of▁sentence｜>");
  name_if_there("eos_token", "<｜end▁of▁sentence｜>");
  name_if_there("pad_token", "<｜▁pad▁｜>");
  config["add_bos_token"] = false;
  config["add_eos_token"] = false;
  config["clean_up_tokenization_spaces"] = false;
  config["model_max_length"] = options.model_max_length;
  if (!options.chat_template.empty()) config["chat_template"] = options.chat_template;
  return config.dump(2) + "\n";
}

}  // namespace

std::vector<std::string> deepseek_special_tokens() {
  return {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<think>", "</think>", "<｜User｜>",
          "<｜Assistant｜>"};
}

struct BpeTrainer::State {
  BpeTrainerOptions options;
  PreTokenizer pre_tokenizer;
  AddedTokenFinder special;
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> words;  // piece -> count
};

BpeTrainer::BpeTrainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
BpeTrainer::BpeTrainer(BpeTrainer&&) noexcept = default;
BpeTrainer& BpeTrainer::operator=(BpeTrainer&&) noexcept = default;
BpeTrainer::~BpeTrainer() = default;

Result<BpeTrainer> BpeTrainer::create(BpeTrainerOptions options) {
  const int least = static_cast<int>(options.special_tokens.size()) + kBytes;
  if (options.vocab_size < least || options.vocab_size > kMaxVocabulary)
    return Error{ErrorKind::invalid, fmt::format("tokenizer training: expected a vocabulary of {} to {}, found {}",
                                                 least, kMaxVocabulary, options.vocab_size)};
  if (options.min_count < 1 || options.max_token_bytes < 2)
    return Error{ErrorKind::invalid,
                 fmt::format("tokenizer training: expected min_count >= 1 and max_token_bytes >= 2, "
                             "found {} and {}",
                             options.min_count, options.max_token_bytes)};
  auto state = std::make_unique<State>();
  std::vector<AddedToken> special;
  for (const std::string& name : options.special_tokens) {
    const bool twice = std::any_of(special.begin(), special.end(), [&](const auto& t) { return t.content == name; });
    // One character could be one of the bytes' own names.
    if (name.size() < 2 || twice || valid_utf8_bytes(name) != name.size() || first_utf8_unit(name).bytes == name.size())
      return Error{ErrorKind::invalid,
                   fmt::format("tokenizer training: expected special tokens of two characters or more, each once, "
                               "found \"{}\"{}",
                               repair_utf8(name), twice ? " twice" : "")};
    special.push_back({.content = name, .id = TokenId(static_cast<int>(special.size()))});
  }
  state->special = AddedTokenFinder(std::move(special));
  HADAL_ASSIGN(state->pre_tokenizer, PreTokenizer::from_json(pre_tokenizer_json<Json>(), "tokenizer training"));
  state->options = std::move(options);
  return BpeTrainer(std::move(state));
}

void BpeTrainer::add(std::string_view text) {
  std::string repaired;
  if (valid_utf8_bytes(text) != text.size()) text = repaired = repair_utf8(text);
  std::size_t done = 0;
  const auto count = [&](std::string_view part) {
    const Pieces pieces = state_->pre_tokenizer.split(part);
    for (const std::string_view piece : pieces.views) {
      const auto known = state_->words.find(piece);
      if (known != state_->words.end()) {
        ++known->second;
      } else {
        state_->words.emplace(piece, 1);
      }
    }
  };
  while (const auto match = state_->special.find(text, done)) {
    count(text.substr(done, match->begin - done));
    done = match->end;
  }
  count(text.substr(done));
}

Result<TrainedTokenizer> BpeTrainer::train() const {
  const BpeTrainerOptions& options = state_->options;
  std::vector<std::string> tokens = options.special_tokens;
  for (int byte = 0; byte < kBytes; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  MergeLearner learner(options, std::move(tokens));
  for (const auto& [word, count] : state_->words) learner.add_word(word, count);
  learner.learn();

  return TrainedTokenizer{tokenizer_json(options, learner), tokenizer_config_json(options),
                          static_cast<int>(learner.tokens().size())};
}

}  // namespace hadal
