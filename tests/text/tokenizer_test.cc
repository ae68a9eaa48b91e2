// Properties of the tokenizer, the stream-safe detokenizer and UTF-8, on random and on awkward text.
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "text/bpe_model.h"
#include "text/detokenizer.h"
#include "text/utf8.h"
#include "text_goldens.h"

namespace hadal {
namespace {

std::string random_text(std::mt19937& random, int characters) {
  static const char32_t kAwkward[] = {'a', 'b', ' ',   ' ',    '\n',    '\r',   '7',
                                      '.', '<', 0x301, 0x4E2D, 0x1F600, 0x200D, 0xFF5C};
  std::string text;
  for (int i = 0; i < characters; ++i) {
    char32_t code = kAwkward[random() % std::size(kAwkward)];
    if (random() % 4 == 0) do
        code = random() % 0x110000;
      while (code >= 0xD800 && code < 0xE000);
    append_utf8(text, code);
  }
  return text;
}

TEST(Utf8, EveryCharacterRoundTripsAndNothingElseIsWellFormed) {
  std::size_t characters = 0;
  for (char32_t code = 0; code < 0x110000; code += code < 0x11000 ? 1 : 97) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string text;
    append_utf8(text, code);
    const Utf8Unit unit = first_utf8_unit(text);
    ASSERT_TRUE(unit.kind == Utf8Kind::character && unit.code == code && unit.bytes == text.size())
        << static_cast<unsigned>(code);
    ++characters;
  }
  EXPECT_GT(characters, 70000u);
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"})
    EXPECT_EQ(valid_utf8_bytes(bad), 0u) << bad;
}

TEST(Utf8, RepairsOneMarkForEachMaximalPart) {  // the examples of the Unicode standard, table 3-8 and following
  const std::string r(kReplacementCharacter);
  EXPECT_EQ(repair_utf8("a\xF1\x80\x80\xE1\x80\xC2"
                        "b\x80"
                        "c\x80\xBF"
                        "d"),
            "a" + r + r + r + "b" + r + "c" + r + r + "d");
  EXPECT_EQ(repair_utf8("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(repair_utf8("\xE4\xB8"), r);
  EXPECT_EQ(repair_utf8("中"), "中");
}

TEST(Tokenizer, DecodingGivesTheTextBack) {
  std::mt19937 random(1);
  for (const char* name : {"deepseek_v3", "llama3_2"}) {
    const Tokenizer& tokenizer = golden_tokenizer(name);
    for (int round = 0; round < 300; ++round) {
      const std::string text = random_text(random, 1 + static_cast<int>(random() % 60));
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, SpecialTokens::parse)), text);
    }
  }
}

TEST(Tokenizer, IllFormedTextIsEncodedAsItsRepair) {
  const Tokenizer& tokenizer = golden_tokenizer("deepseek_v3");
  EXPECT_EQ(tokenizer.encode("a\xFF\xE4\xB8z"), tokenizer.encode("a\uFFFD\uFFFDz"));
}

TEST(Tokenizer, CachedPiecesAreTheSameAsFreshOnes) {
  const Tokenizer warm = golden_tokenizer("deepseek_v3");
  std::mt19937 random(2);
  const std::string text = random_text(random, 4000);
  const auto first = warm.encode(text);
  EXPECT_EQ(warm.encode(text), first);
}

TEST(Tokenizer, ThreadsAgree) {
  const Tokenizer& tokenizer = golden_tokenizer("deepseek_v3");
  std::mt19937 random(3);
  const std::string text = random_text(random, 3000);
  const auto expected = tokenizer.encode(text);
  std::vector<std::thread> threads;
  std::vector<std::vector<TokenId>> got(4);
  for (auto& ids : got)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) ids = tokenizer.encode(text);
    });
  for (auto& thread : threads) thread.join();
  for (const auto& ids : got) EXPECT_EQ(ids, expected);
}

TEST(Tokenizer, LongPiecesAreNotQuadratic) {
  const Tokenizer& tokenizer = golden_tokenizer("deepseek_v3");
  const auto seconds = [&](std::string text) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  // A scan for each merge of 200,000 symbols would take a minute; the heap takes 0.1 s.
  EXPECT_LT(seconds(std::string(200'000, 'a')), 10);
  EXPECT_LT(seconds(std::string(200'000, ' ') + "x"), 10);
  EXPECT_LT(seconds(std::string(200'000, '\n')), 10);
}

// The definition, as slow as can be: always the first pair of lowest rank.
TEST(BpeModel, ShortAndLongPiecesFollowTheDefinition) {
  std::mt19937 random(5);
  BpeModel model;
  std::map<std::pair<int, int>, std::pair<int, int>> merges;  // pair -> rank, product
  for (int byte = 0; byte < 3; ++byte) model.set_byte_token(static_cast<std::uint8_t>('a' + byte), TokenId{byte});
  int next = 3;
  while (next < 60) {
    const std::pair<int, int> pair(random() % next, random() % next);
    if (merges.contains(pair)) continue;
    merges[pair] = {static_cast<int>(merges.size()), next};
    ASSERT_TRUE(model.add_merge(TokenId{pair.first}, TokenId{pair.second}, TokenId{next++}));
  }
  EXPECT_FALSE(
      model.add_merge(TokenId{merges.begin()->first.first}, TokenId{merges.begin()->first.second}, TokenId{1}));
  for (int round = 0; round < 400; ++round) {
    std::string text;
    for (int n = random() % 300; n > 0; --n) text += static_cast<char>('a' + random() % 3);
    std::vector<int> expected;
    for (const char c : text) expected.push_back(c - 'a');
    while (true) {
      std::size_t best = expected.size();
      int rank = 1 << 30;
      for (std::size_t i = 0; i + 1 < expected.size(); ++i) {
        const auto merge = merges.find({expected[i], expected[i + 1]});
        if (merge != merges.end() && merge->second.first < rank) rank = merge->second.first, best = i;
      }
      if (best == expected.size()) break;
      expected[best] = merges[{expected[best], expected[best + 1]}].second;
      expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    std::vector<TokenId> ids;
    model.encode_piece(text, ids);
    EXPECT_EQ(numbers(ids), expected) << text;
  }
}

TEST(Tokenizer, IdsOutsideTheVocabularyVanish) {
  const Tokenizer& tokenizer = golden_tokenizer("deepseek_v3");
  const std::vector<TokenId> ids = {TokenId{-1}, TokenId{19923}, TokenId{128815}, TokenId{2'000'000'000}};
  EXPECT_EQ(tokenizer.decode(ids), "Hello");
  EXPECT_EQ(tokenizer.token_bytes(TokenId{-5}), "");
  EXPECT_FALSE(tokenizer.is_control(TokenId{128815}));
}

TEST(Detokenizer, GivesWholeCharactersThatJoinToTheDecodedText) {
  for (const std::string name : {"deepseek_v3", "qwen2_5", "llama3_2"}) {
    for (const Json& row : golden_lines(name, "decode_stream.jsonl")) {
      Detokenizer stream(golden_tokenizer(name));
      std::string all;
      for (const TokenId id : token_ids(row["ids"])) {
        const std::string piece = stream.push(id);
        EXPECT_EQ(valid_utf8_bytes(piece), piece.size());
        all += piece;
      }
      all += stream.flush();
      EXPECT_EQ(all, row["text"].get<std::string>());
    }
  }
}

TEST(Detokenizer, HoldsBackNothingThatIsWhole) {
  const Tokenizer& tokenizer = golden_tokenizer("deepseek_v3");
  Detokenizer stream(tokenizer);
  std::string seen;
  std::size_t most = 0;
  std::string bytes;
  for (const TokenId id : tokenizer.encode("héllo 中文 \U0001F600 \U00010348 x")) {
    bytes += tokenizer.token_bytes(id);
    seen += stream.push(id);
    most = std::max(most, bytes.size() - seen.size());
    EXPECT_EQ(seen.size(), valid_utf8_bytes(bytes));
  }
  EXPECT_LE(most, 3u);
  EXPECT_EQ(stream.flush(), "");
}

}  // namespace
}  // namespace hadal
