// The merges of byte-level BPE: one piece of bytes in, token ids out.
//
// Always the pair of lowest rank first, the leftmost of equals, as Hugging Face's library does.
// Short pieces are scanned (they are nearly all), long ones use a heap: no text makes it quadratic.
// Not the cutting into pieces (pre_tokenizer.h) and not control tokens (added_tokens.h).
// Any thread; constant after building.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"

namespace hadal {

class BpeModel {
 public:
  BpeModel() { byte_token_.fill(kNone); }

  void set_byte_token(std::uint8_t byte, TokenId id) { byte_token_[byte] = index(id); }
  bool has_byte(std::uint8_t byte) const { return byte_token_[byte] != kNone; }
  // Merges are added in the order of their rank. False: this pair has been added before.
  bool add_merge(TokenId left, TokenId right, TokenId product);
  void reserve_merges(std::size_t count);
  // Llama-3's ignore_merges: a piece that is a whole token becomes that token, whatever the merges say.
  void add_whole_piece(std::string bytes, TokenId id) { whole_pieces_.emplace(std::move(bytes), index(id)); }

  struct Pair {
    TokenId left, right;
  };
  std::vector<Pair> merges() const;  // in no order

  // Bytes without a token (a vocabulary that lacks them) vanish, as in the reference library.
  void encode_piece(std::string_view bytes, std::vector<TokenId>& out) const;

 private:
  static constexpr std::int32_t kNone = -1;
  struct Merge {
    std::uint64_t pair = kNoPair;  // left << 32 | right
    std::int32_t rank = 0, product = 0;
  };
  static constexpr std::uint64_t kNoPair = ~std::uint64_t{0};
  static std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
    return std::uint64_t(std::uint32_t(left)) << 32 | std::uint32_t(right);
  }
  const Merge* find(std::int32_t left, std::int32_t right) const;
  void grow(std::size_t slots);
  void encode_short(std::int32_t* symbols, std::size_t count, std::vector<TokenId>& out) const;
  void encode_long(const std::vector<std::int32_t>& symbols, std::vector<TokenId>& out) const;

  std::array<std::int32_t, 256> byte_token_;
  std::vector<Merge> slots_;  // open addressing, a power of two, at most half full
  std::size_t merges_ = 0;
  std::unordered_map<std::string, std::int32_t> whole_pieces_;
};

}  // namespace hadal
