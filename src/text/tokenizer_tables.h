// What a Tokenizer holds; shared by tokenizer.cc (uses it) and tokenizer_json.cc (fills it), by nobody else.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe_model.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace hadal {

// Remembers the ids of short pieces: most of any text is a few thousand words. Direct-mapped, so that it never
// grows and needs no eviction; one lock a stripe, hardly ever contended.
class Tokenizer::PieceCache {
 public:
  bool find(std::string_view piece, std::size_t hash, std::vector<TokenId>& out) const;
  void store(std::string_view piece, std::size_t hash, const TokenId* ids, std::size_t count);

  static constexpr std::size_t kMaxBytes = 23, kMaxIds = 4;  // one cache line and a half an entry

 private:
  struct Entry {
    char bytes[kMaxBytes];
    std::uint8_t size = 0, ids_size = 0;
    TokenId ids[kMaxIds];
  };
  static constexpr std::size_t kStripes = 16, kEntries = 1 << 14;  // of all stripes together
  struct Stripe {
    mutable std::mutex mutex;
    std::vector<Entry> entries = std::vector<Entry>(kEntries / kStripes);
  };
  Stripe stripes_[kStripes];
};

struct Tokenizer::Tables {
  struct Row {
    std::string bytes;  // what decoding writes
    bool present = false, control = false, special = false;
  };
  std::vector<Row> rows;                               // by id
  std::unordered_map<std::string, TokenId> spellings;  // vocabulary entries and added tokens
  BpeModel bpe;
  AddedTokenFinder before_normalizer, after_normalizer;
  bool nfc = false, ignore_merges = false;
  PreTokenizer pre_tokenizer;
  std::optional<TokenId> bos, eos;
  bool adds_bos = false;
  std::string chat_template;
  std::unique_ptr<PieceCache> cache = std::make_unique<PieceCache>();
};

}  // namespace hadal
