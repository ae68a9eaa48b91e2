// The tokenizer trainer: what it writes is read back, keeps its promises about ids, digits and bytes, and does
// not depend on the order of the texts.
#include "text/bpe_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "text_goldens.h"

namespace hadal {
namespace {

using testing::HasSubstr;

std::vector<std::string> golden_texts() {
  std::vector<std::string> texts;
  for (const Json& row : golden_lines("deepseek_v3", "encode.jsonl")) texts.push_back(row["text"].get<std::string>());
  return texts;
}

TrainedTokenizer trained(const std::vector<std::string>& texts, int vocab_size) {
  auto trainer = BpeTrainer::create({.vocab_size = vocab_size});
  for (const std::string& text : texts) trainer->add(text);
  return *trainer->train();
}

Tokenizer read_back(const TrainedTokenizer& t) {
  auto tokenizer = Tokenizer::from_json(t.tokenizer_json, "tokenizer.json");
  HADAL_CHECK(tokenizer.ok());
  HADAL_CHECK(tokenizer->apply_config(t.tokenizer_config_json, "tokenizer_config.json").ok());
  return *tokenizer;
}

TEST(BpeTrainer, WritesWhatTheTokenizerReads) {
  const auto texts = golden_texts();
  const Tokenizer tokenizer = read_back(trained(texts, 600));
  EXPECT_EQ(tokenizer.vocab_size(), 600);
  for (const std::string& text : texts) {
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
    for (const TokenId id : tokenizer.encode(text)) EXPECT_FALSE(tokenizer.is_control(id));
  }
}

TEST(BpeTrainer, PutsSpecialTokensFirstThenAllBytes) {
  const Tokenizer tokenizer = read_back(trained({"tiny"}, 4096));
  const auto special = deepseek_special_tokens();
  ASSERT_EQ(special.size(), 7u);
  for (int id = 0; id < 7; ++id) EXPECT_EQ(tokenizer.find_control(special[static_cast<std::size_t>(id)]), TokenId{id});
  for (int byte = 0; byte < 256; ++byte)
    EXPECT_EQ(tokenizer.token_bytes(TokenId{7 + byte}), std::string(1, static_cast<char>(byte)));
  EXPECT_EQ(tokenizer.vocab_size(), 7 + 256);  // every pair of "tiny" is seen once only
  EXPECT_EQ(tokenizer.bos(), TokenId{0});
  EXPECT_EQ(tokenizer.eos(), TokenId{1});
  EXPECT_TRUE(tokenizer.is_special(TokenId{0}));
  EXPECT_FALSE(tokenizer.is_special(*tokenizer.find_control("<think>")));
}

TEST(BpeTrainer, MergesTheMostFrequentPairFirst) {
  // ab: 9, then abc: 5; cd: 4 is less. Of equal counts, the pair of lower ids.
  std::vector<std::string> texts = {"cd", "cd", "cd", "cd"};
  texts.insert(texts.end(), 5, "abc");
  texts.insert(texts.end(), 4, "ab");
  const TrainedTokenizer result = trained(texts, 7 + 256 + 2);
  const Json merges = Json::parse(result.tokenizer_json)["model"]["merges"];
  EXPECT_EQ(merges, Json({"a b", "ab c"}));
  const Json ties = Json::parse(trained({"yz", "yz", "wx", "wx"}, 7 + 256 + 1).tokenizer_json)["model"]["merges"];
  EXPECT_EQ(ties, Json({"w x"}));
}

TEST(BpeTrainer, IsTheSameForEveryOrderOfTexts) {
  auto texts = golden_texts();
  const TrainedTokenizer first = trained(texts, 900);
  std::reverse(texts.begin(), texts.end());
  EXPECT_EQ(trained(texts, 900).tokenizer_json, first.tokenizer_json);
}

TEST(BpeTrainer, NeverJoinsDigitsNorCrossesACut) {
  std::vector<std::string> texts;
  for (int i = 0; i < 3000; ++i) texts.push_back("year 2024, 1000 + 24 = 1024; 中1文2");
  const Tokenizer tokenizer = read_back(trained(texts, 2000));
  for (int id = 7 + 256; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(TokenId{id});
    EXPECT_EQ(bytes.find_first_of("0123456789"), bytes.npos) << bytes;
  }
  EXPECT_EQ(tokenizer.encode("1024").size(), 4u);
}

TEST(BpeTrainer, ControlTokensInTheTextsAreNoText) {
  std::vector<std::string> texts(50, "<think>x</think><｜User｜>");
  const Tokenizer tokenizer = read_back(trained(texts, 400));
  EXPECT_EQ(tokenizer.vocab_size(), 7 + 256);
  EXPECT_EQ(numbers(tokenizer.encode("<think></think>", SpecialTokens::parse)), (std::vector<int>{3, 4}));
}

TEST(BpeTrainer, KeepsTokensShort) {
  auto trainer = BpeTrainer::create({.vocab_size = 1000, .max_token_bytes = 6});
  for (int i = 0; i < 20; ++i) trainer->add("internationalisation");
  const Tokenizer tokenizer = read_back(*trainer->train());
  for (int id = 7; id < tokenizer.vocab_size(); ++id) EXPECT_LE(tokenizer.token_bytes(TokenId{id}).size(), 6u);
}

TEST(BpeTrainer, ASpecialTokenSpelledLikeAWordIsNeverMadeByMerging) {
  auto trainer = BpeTrainer::create({.vocab_size = 400, .special_tokens = {"Ġthe", "cat"}});
  for (int i = 0; i < 20; ++i)
    trainer->add(
        "see the ca"
        "t");
  const auto result = trainer->train();
  const auto tokenizer = Tokenizer::from_json(result->tokenizer_json, "tokenizer.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  for (const TokenId id : tokenizer->encode(" the cat")) EXPECT_FALSE(tokenizer->is_control(id));
}

TEST(BpeTrainer, RefusesImpossibleOptions) {
  const auto error = [](BpeTrainerOptions options) {
    const auto result = BpeTrainer::create(std::move(options));
    return result.ok() ? "no error" : result.error().message;
  };
  EXPECT_THAT(error({.vocab_size = 262}), HasSubstr("expected a vocabulary of 263 to 1048576, found 262"));
  EXPECT_THAT(error({.vocab_size = 1 << 30}), HasSubstr("found 1073741824"));
  EXPECT_THAT(error({.special_tokens = {"<a>", "<a>"}}), HasSubstr("found \"<a>\" twice"));
  EXPECT_THAT(error({.special_tokens = {""}}), HasSubstr("two characters or more"));
  EXPECT_THAT(error({.special_tokens = {"é"}}), HasSubstr("two characters or more"));
  EXPECT_THAT(error({.min_count = 0}), HasSubstr("min_count"));
}

}  // namespace
}  // namespace hadal
