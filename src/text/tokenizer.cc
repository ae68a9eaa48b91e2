#include "text/tokenizer.h"

#include <fmt/format.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>

#include <cstring>
#include <functional>

#include "base/check.h"
#include "text/tokenizer_tables.h"
#include "text/utf8.h"

namespace hadal {
namespace {

std::string to_nfc(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(status);
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  if (U_SUCCESS(status))
    nfc->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, status);
  HADAL_CHECK(U_SUCCESS(status));  // its tables are built in; input is valid UTF-8
  return out;
}

// ICU counts bytes in 32 bits. A text as long is taken as it is; what hadal reads ends long before (stdin at 256 MiB).
constexpr std::size_t kNfcBytes = std::size_t{1} << 30;

}  // namespace

Prompt& Prompt::control(std::string_view name) {
  parts_.push_back({Part::Kind::control, std::string(name)});
  return *this;
}

Prompt& Prompt::text(std::string_view text) {
  if (text.empty()) return *this;
  if (parts_.empty() || parts_.back().kind == Part::Kind::control) parts_.push_back({Part::Kind::text, {}});
  parts_.back().text.append(text);
  return *this;
}

Prompt& Prompt::append(const Prompt& other) {
  for (const Part& part : other.parts_) part.kind == Part::Kind::control ? control(part.text) : text(part.text);
  return *this;
}

std::string Prompt::string() const {
  std::string all;
  for (const Part& part : parts_) all += part.text;
  return all;
}

Tokenizer::Tokenizer(std::shared_ptr<Tables> tables) : tables_(std::move(tables)) {}

std::vector<TokenId> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  std::string repaired;
  if (valid_utf8_bytes(text) != text.size()) text = repaired = repair_utf8(text);

  std::vector<TokenId> ids;
  std::size_t done = 0;
  const auto encode_until = [&](std::size_t end) {
    const std::string_view part = text.substr(done, end - done);
    if (part.empty()) return;
    if (tables_->nfc && part.size() < kNfcBytes) {
      encode_normalized(to_nfc(part), special, ids);
    } else {
      encode_normalized(part, special, ids);
    }
  };
  if (special == SpecialTokens::parse) {
    while (const auto match = tables_->before_normalizer.find(text, done)) {
      encode_until(match->begin);
      ids.push_back(match->id);
      done = match->end;
    }
  }
  encode_until(text.size());
  return ids;
}

void Tokenizer::encode_normalized(std::string_view text, SpecialTokens special, std::vector<TokenId>& out) const {
  std::size_t done = 0;
  if (special == SpecialTokens::parse) {
    while (const auto match = tables_->after_normalizer.find(text, done)) {
      encode_plain(text.substr(done, match->begin - done), out);
      out.push_back(match->id);
      done = match->end;
    }
  }
  encode_plain(text.substr(done), out);
}

void Tokenizer::encode_plain(std::string_view text, std::vector<TokenId>& out) const {
  const Pieces pieces = tables_->pre_tokenizer.split(text);
  for (const std::string_view piece : pieces.views) {
    if (piece.size() > PieceCache::kMaxBytes) {
      tables_->bpe.encode_piece(piece, out);
      continue;
    }
    const std::size_t hash = std::hash<std::string_view>{}(piece), before = out.size();
    if (tables_->cache->find(piece, hash, out)) continue;
    tables_->bpe.encode_piece(piece, out);
    tables_->cache->store(piece, hash, out.data() + before, out.size() - before);
  }
}

Result<std::vector<TokenId>> Tokenizer::encode(const Prompt& prompt) const {
  std::vector<TokenId> ids;
  for (const Prompt::Part& part : prompt.parts()) {
    if (part.kind == Prompt::Part::Kind::text) {
      const std::vector<TokenId> run = encode(part.text, SpecialTokens::plain);
      ids.insert(ids.end(), run.begin(), run.end());
      continue;
    }
    const auto id = find_control(part.text);
    if (!id)
      return Error{
          ErrorKind::not_found,
          fmt::format("tokenizer: expected the control token {}, which this prompt needs, found none", part.text)};
    ids.push_back(*id);
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const TokenId> ids) const {
  std::string bytes;
  for (const TokenId id : ids) bytes += token_bytes(id);
  return valid_utf8_bytes(bytes) == bytes.size() ? bytes : repair_utf8(bytes);
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  if (index(id) < 0 || index(id) >= vocab_size()) return {};
  return tables_->rows[index(id)].bytes;
}

int Tokenizer::vocab_size() const {
  return static_cast<int>(tables_->rows.size());
}

std::optional<TokenId> Tokenizer::find_token(std::string_view name) const {
  const auto found = tables_->spellings.find(std::string(name));
  return found == tables_->spellings.end() ? std::nullopt : std::optional(found->second);
}

std::optional<TokenId> Tokenizer::find_control(std::string_view name) const {
  const auto id = find_token(name);
  return id && is_control(*id) ? id : std::nullopt;
}

bool Tokenizer::is_control(TokenId id) const {
  return index(id) >= 0 && index(id) < vocab_size() && tables_->rows[index(id)].control;
}

bool Tokenizer::is_special(TokenId id) const {
  return is_control(id) && tables_->rows[index(id)].special;
}

std::optional<TokenId> Tokenizer::bos() const {
  return tables_->bos;
}
std::optional<TokenId> Tokenizer::eos() const {
  return tables_->eos;
}
bool Tokenizer::adds_bos() const {
  return tables_->adds_bos;
}
const std::string& Tokenizer::chat_template() const {
  return tables_->chat_template;
}

bool Tokenizer::PieceCache::find(std::string_view piece, std::size_t hash, std::vector<TokenId>& out) const {
  const Stripe& stripe = stripes_[hash % kStripes];
  const std::lock_guard lock(stripe.mutex);
  const Entry& entry = stripe.entries[hash / kStripes % stripe.entries.size()];
  if (entry.size != piece.size() || std::memcmp(entry.bytes, piece.data(), piece.size()) != 0) return false;
  out.insert(out.end(), entry.ids, entry.ids + entry.ids_size);
  return true;
}

void Tokenizer::PieceCache::store(std::string_view piece, std::size_t hash, const TokenId* ids, std::size_t count) {
  if (count > kMaxIds) return;
  Stripe& stripe = stripes_[hash % kStripes];
  const std::lock_guard lock(stripe.mutex);
  Entry& entry = stripe.entries[hash / kStripes % stripe.entries.size()];
  std::memcpy(entry.bytes, piece.data(), piece.size());
  entry.size = static_cast<std::uint8_t>(piece.size());
  entry.ids_size = static_cast<std::uint8_t>(count);
  std::copy(ids, ids + count, entry.ids);
}

}  // namespace hadal
