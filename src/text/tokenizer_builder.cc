#include "text/tokenizer_builder.h"

#include <fmt/format.h>

#include "base/printable.h"
#include "text/byte_level.h"
#include "text/utf8.h"

namespace hadal {
namespace {

constexpr std::size_t kMaxControlBytes = 1024;  // bounds the search for control tokens

Error invalid(std::string message) {
  return {ErrorKind::invalid, std::move(message)};
}

}  // namespace

void TokenizerBuilder::reserve(std::size_t tokens) {
  tables_->rows.reserve(tokens);
  tables_->spellings.reserve(tokens);
}

Result<TokenizerBuilder::Tables::Row*> TokenizerBuilder::new_row(TokenId id, const std::string& spelling) {
  if (static_cast<std::size_t>(index(id)) >= tables_->rows.size())
    tables_->rows.resize(static_cast<std::size_t>(index(id)) + 1);
  Tables::Row& row = tables_->rows[static_cast<std::size_t>(index(id))];
  if (row.present)
    return invalid(
        fmt::format("{}: id {} is given twice, the second time to \"{}\"", subject_, index(id), printable(spelling)));
  row.present = true;
  row.bytes = from_byte_level(spelling).value_or(spelling);
  return &row;
}

Status TokenizerBuilder::add_token(std::string spelling, TokenId id) {
  if (auto row = new_row(id, spelling); !row.ok()) return std::move(row).error();
  const auto [known, is_new] = tables_->spellings.emplace(std::move(spelling), id);
  if (!is_new)
    return invalid(fmt::format("{}: token \"{}\": expected one id, found {} and {}", subject_, printable(known->first),
                               index(known->second), index(id)));
  return Done{};
}

Status TokenizerBuilder::add_control(const AddedToken& token) {
  if (token.content.empty() || token.content.size() > kMaxControlBytes)
    return invalid(fmt::format("{}: added token {}: expected 1 to {} bytes, found {}", subject_, index(token.id),
                               kMaxControlBytes, token.content.size()));
  const auto [known, is_new] = tables_->spellings.emplace(token.content, token.id);
  if (is_new) {
    if (auto row = new_row(token.id, token.content); !row.ok()) return std::move(row).error();
  } else if (known->second != token.id) {
    return invalid(fmt::format("{}: \"{}\": expected id {} as elsewhere in the file, found {}", subject_,
                               printable(token.content), index(known->second), index(token.id)));
  } else if (tables_->rows[static_cast<std::size_t>(index(token.id))].control) {
    return invalid(fmt::format("{}: \"{}\" is given twice", subject_, printable(token.content)));
  }
  Tables::Row& row = tables_->rows[static_cast<std::size_t>(index(token.id))];
  row.control = true;
  row.special = token.special;
  return Done{};
}

// A byte is a token spelled by its one character. An added token is never made from text, whatever it is spelled like.
void TokenizerBuilder::finish_tokens(bool ignore_merges) {
  const auto is_control = [&](TokenId id) { return tables_->rows[static_cast<std::size_t>(index(id))].control; };
  for (int byte = 0; byte < 256; ++byte) {
    std::string spelling;
    append_utf8(spelling, byte_level_character(static_cast<std::uint8_t>(byte)));
    const auto found = tables_->spellings.find(spelling);
    if (found != tables_->spellings.end() && !is_control(found->second))
      tables_->bpe.set_byte_token(static_cast<std::uint8_t>(byte), found->second);
  }
  tables_->ignore_merges = ignore_merges;
  if (!ignore_merges) return;
  for (const auto& [spelling, id] : tables_->spellings) {
    if (is_control(id)) continue;
    if (auto bytes = from_byte_level(spelling)) tables_->bpe.add_whole_piece(std::move(*bytes), id);
  }
}

Status TokenizerBuilder::add_merge(const std::string& left, const std::string& right, const std::string& where) {
  TokenId ids[3];
  product_.assign(left).append(right);
  const std::string* names[] = {&left, &right, &product_};
  for (int i = 0; i < 3; ++i) {
    const auto found = tables_->spellings.find(*names[i]);
    if (found == tables_->spellings.end())
      return invalid(fmt::format("{}: {}: expected tokens of the vocabulary, found \"{}\"", subject_, where,
                                 printable(*names[i])));
    ids[i] = found->second;
    if (tables_->rows[static_cast<std::size_t>(index(ids[i]))].control)  // plain text would turn into a control token
      return invalid(fmt::format("{}: {}: expected no added token in a merge, found \"{}\"", subject_, where,
                                 printable(*names[i])));
  }
  if (!tables_->bpe.add_merge(ids[0], ids[1], ids[2]))
    return invalid(fmt::format("{}: {}: \"{}\" and \"{}\" are merged a second time", subject_, where, printable(left),
                               printable(right)));
  return Done{};
}

}  // namespace hadal
