// Tokenizer against Hugging Face's tokenizers library on its own files: encode.jsonl and decode_stream.jsonl.
// Lines marked "sensitive" depend on the Unicode edition (PCRE2 here has 14) and are not compared.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text_goldens.h"

namespace hadal {
namespace {

class TokenizerGolden : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerGolden, EncodesEachLineInBothModes) {
  const Tokenizer& tokenizer = golden_tokenizer(GetParam());
  int compared = 0;
  for (const Json& row : golden_lines(GetParam(), "encode.jsonl")) {
    if (row.contains("sensitive")) continue;
    const auto text = row["text"].get<std::string>();
    const Json& plain = row.contains("ids_plain") ? row["ids_plain"] : row["ids"];
    EXPECT_EQ(numbers(tokenizer.encode(text, SpecialTokens::parse)), row["ids"].get<std::vector<int>>()) << row["text"];
    EXPECT_EQ(numbers(tokenizer.encode(text, SpecialTokens::plain)), plain.get<std::vector<int>>()) << row["text"];
    ++compared;
  }
  EXPECT_GE(compared, 380);
}

TEST_P(TokenizerGolden, DecodesEachLine) {
  const Tokenizer& tokenizer = golden_tokenizer(GetParam());
  for (const Json& row : golden_lines(GetParam(), "decode_stream.jsonl"))
    EXPECT_EQ(tokenizer.decode(token_ids(row["ids"])), row["text"].get<std::string>()) << row["ids"];
}

TEST_P(TokenizerGolden, PlainTextNeverBecomesAControlToken) {
  const Tokenizer& tokenizer = golden_tokenizer(GetParam());
  for (int id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.is_control(TokenId{id})) continue;
    for (const TokenId made : tokenizer.encode(tokenizer.token_bytes(TokenId{id}), SpecialTokens::plain))
      EXPECT_FALSE(tokenizer.is_control(made)) << tokenizer.token_bytes(TokenId{id});
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden, testing::Values("deepseek_v3", "deepseek_v4", "qwen2_5", "llama3_2"),
                         [](const auto& entry) { return std::string(entry.param); });

TEST(TokenizerGolden, AddsBosOnlyWhereThePostProcessorDoes) {
  for (const std::string name : {"deepseek_v3", "deepseek_v4", "qwen2_5", "llama3_2"}) {
    for (const Json& row : golden_lines(name, "encode.jsonl")) {
      if (!row.contains("ids_with_special")) continue;
      const bool adds = row["ids_with_special"].size() > row["ids"].size();
      EXPECT_EQ(golden_tokenizer(name).adds_bos(), adds) << name;
    }
  }
}

TEST(TokenizerGolden, KnowsBosAndEos) {
  EXPECT_EQ(golden_tokenizer("deepseek_v3").bos(), TokenId{0});
  EXPECT_EQ(golden_tokenizer("deepseek_v3").eos(), TokenId{1});
  EXPECT_EQ(golden_tokenizer("qwen2_5").bos(), std::nullopt);
  EXPECT_EQ(golden_tokenizer("llama3_2").bos(), TokenId{128000});
}

TEST(TokenizerGolden, FindsTokensByName) {
  const Tokenizer& v3 = golden_tokenizer("deepseek_v3");
  EXPECT_EQ(v3.find_control("<｜User｜>"), TokenId{128803});
  EXPECT_EQ(v3.find_control("<｜tool▁sep｜>"), TokenId{128814});
  EXPECT_EQ(v3.find_token("Ġthe"), TokenId{270});
  EXPECT_EQ(v3.find_control("Ġthe"), std::nullopt);
  EXPECT_EQ(v3.find_control("<think>"), std::nullopt);  // this edition is older than the think tokens
  EXPECT_EQ(golden_tokenizer("deepseek_v4").find_control("<think>"), TokenId{128821});
  EXPECT_FALSE(golden_tokenizer("deepseek_v4").is_special(TokenId{128821}));
  EXPECT_EQ(v3.vocab_size(), 128815);
}

}  // namespace
}  // namespace hadal
