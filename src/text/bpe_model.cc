#include "text/bpe_model.h"

#include <algorithm>
#include <climits>
#include <queue>
#include <tuple>

namespace hadal {
namespace {

// Scanning all ranks for each merge is quadratic but touches one cache line or two; the heap wins only
// beyond about a hundred symbols.
constexpr std::size_t kShortPiece = 96;

std::size_t hash_of(std::uint64_t pair) {
  pair ^= pair >> 29;
  pair *= 0x9E3779B97F4A7C15u;
  return static_cast<std::size_t>(pair ^ pair >> 32);
}

}  // namespace

void BpeModel::grow(std::size_t slots) {
  std::vector<Merge> old(slots);
  old.swap(slots_);
  for (const Merge& merge : old) {
    if (merge.pair == kNoPair) continue;
    std::size_t at = hash_of(merge.pair) & (slots_.size() - 1);
    while (slots_[at].pair != kNoPair) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = merge;
  }
}

void BpeModel::reserve_merges(std::size_t count) {
  std::size_t slots = 16;
  while (slots < 2 * count) slots *= 2;
  if (slots > slots_.size()) grow(slots);
}

bool BpeModel::add_merge(TokenId left, TokenId right, TokenId product) {
  if (find(index(left), index(right)) != nullptr) return false;
  reserve_merges(merges_ + 1);
  const std::uint64_t pair = pair_of(index(left), index(right));
  std::size_t at = hash_of(pair) & (slots_.size() - 1);
  while (slots_[at].pair != kNoPair) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {pair, static_cast<std::int32_t>(merges_++), index(product)};
  return true;
}

std::vector<BpeModel::Pair> BpeModel::merges() const {
  std::vector<Pair> pairs;
  pairs.reserve(merges_);
  for (const Merge& merge : slots_)
    if (merge.pair != kNoPair)
      pairs.push_back({TokenId(static_cast<std::int32_t>(merge.pair >> 32)),
                       TokenId(static_cast<std::int32_t>(merge.pair & 0xFFFFFFFFu))});
  return pairs;
}

const BpeModel::Merge* BpeModel::find(std::int32_t left, std::int32_t right) const {
  if (slots_.empty()) return nullptr;
  const std::uint64_t pair = pair_of(left, right);
  for (std::size_t at = hash_of(pair);; ++at) {
    const Merge& merge = slots_[at & (slots_.size() - 1)];
    if (merge.pair == pair) return &merge;
    if (merge.pair == kNoPair) return nullptr;
  }
}

void BpeModel::encode_piece(std::string_view bytes, std::vector<TokenId>& out) const {
  if (!whole_pieces_.empty()) {
    if (const auto whole = whole_pieces_.find(std::string(bytes)); whole != whole_pieces_.end()) {
      out.push_back(TokenId{whole->second});
      return;
    }
  }
  if (bytes.size() <= kShortPiece) {
    std::int32_t symbols[kShortPiece];
    std::size_t count = 0;
    for (const char byte : bytes) {
      const std::int32_t id = byte_token_[static_cast<std::uint8_t>(byte)];
      if (id != kNone) symbols[count++] = id;
    }
    return encode_short(symbols, count, out);
  }
  std::vector<std::int32_t> symbols;
  symbols.reserve(bytes.size());
  for (const char byte : bytes) {
    const std::int32_t id = byte_token_[static_cast<std::uint8_t>(byte)];
    if (id != kNone) symbols.push_back(id);
  }
  encode_long(symbols, out);
}

void BpeModel::encode_short(std::int32_t* symbols, std::size_t count, std::vector<TokenId>& out) const {
  std::int32_t ranks[kShortPiece] = {}, products[kShortPiece] = {};  // of the pair that begins at each symbol
  const auto look_up = [&](std::size_t i) {
    const Merge* merge = find(symbols[i], symbols[i + 1]);
    ranks[i] = merge == nullptr ? INT32_MAX : merge->rank;
    products[i] = merge == nullptr ? kNone : merge->product;
  };
  for (std::size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    const std::size_t best = static_cast<std::size_t>(std::min_element(ranks, ranks + count - 1) - ranks);
    if (ranks[best] == INT32_MAX) break;
    symbols[best] = products[best];
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];  // the last of them is of no pair and never read
      products[i] = products[i + 1];
    }
    --count;
    if (best + 1 < count) look_up(best);
    if (best > 0) look_up(best - 1);
  }
  for (std::size_t i = 0; i < count; ++i) out.push_back(TokenId{symbols[i]});
}

void BpeModel::encode_long(const std::vector<std::int32_t>& symbols, std::vector<TokenId>& out) const {
  struct Node {
    std::int32_t id;
    std::int64_t previous, next;  // -1: none
  };
  const auto count = static_cast<std::int64_t>(symbols.size());
  std::vector<Node> nodes(symbols.size());
  for (std::int64_t i = 0; i < count; ++i) nodes[i] = {symbols[i], i - 1, i + 1 < count ? i + 1 : -1};

  struct Candidate {  // stale when the symbols at `at` are no longer these two
    std::int32_t rank;
    std::int64_t at;
    std::int32_t left, right, product;
    bool operator>(const Candidate& other) const { return std::tie(rank, at) > std::tie(other.rank, other.at); }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto offer = [&](std::int64_t at) {
    if (at < 0 || nodes[at].next < 0) return;
    const std::int32_t left = nodes[at].id, right = nodes[nodes[at].next].id;
    if (const Merge* merge = find(left, right)) queue.push({merge->rank, at, left, right, merge->product});
  };
  for (std::int64_t i = 0; i + 1 < count; ++i) offer(i);
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Node& left = nodes[top.at];
    if (left.id != top.left || left.next < 0 || nodes[left.next].id != top.right) continue;
    Node& right = nodes[left.next];
    left.id = top.product;
    left.next = right.next;
    right.id = kNone;  // no pair names it, so that what still points here is stale
    if (left.next >= 0) nodes[left.next].previous = top.at;
    offer(left.previous);
    offer(top.at);
  }
  for (std::int64_t i = 0; i >= 0 && i < count; i = nodes[i].next) out.push_back(TokenId{nodes[i].id});
}

}  // namespace hadal
