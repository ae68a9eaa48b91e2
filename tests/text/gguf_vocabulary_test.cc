// Tokenizers out of GGUF keys: how each named pre-tokenizer cuts, and what is refused by name.
#include "text/gguf_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/byte_level.h"
#include "text/tokenizer.h"

namespace hadal {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

// The byte alphabet, and what a test adds. Views point into `texts`, which never moves.
struct Made {
  std::vector<std::string> texts;
  GgufVocabulary vocabulary;

  explicit Made(std::string pre, std::vector<std::string> more = {}, std::vector<std::string> merges = {}) {
    for (int byte = 0; byte < 256; ++byte) texts.push_back(to_byte_level(std::string(1, static_cast<char>(byte))));
    texts.insert(texts.end(), more.begin(), more.end());
    const std::size_t tokens = texts.size();
    texts.insert(texts.end(), merges.begin(), merges.end());
    vocabulary.model = "gpt2";
    vocabulary.pre = std::move(pre);
    vocabulary.tokens.assign(texts.begin(), texts.begin() + static_cast<std::ptrdiff_t>(tokens));
    vocabulary.merges.assign(texts.begin() + static_cast<std::ptrdiff_t>(tokens), texts.end());
  }
  Made(const Made&) = delete;
  Made& operator=(const Made&) = delete;

  std::string refused() const {
    const auto tokenizer = Tokenizer::from_gguf(vocabulary, "some.gguf");
    EXPECT_FALSE(tokenizer.ok());
    return tokenizer.ok() ? "" : tokenizer.error().message;
  }
};

// Where a pre-tokenizer cuts: every part of the text is a token and every two neighbours merge, so that each piece
// becomes one token, and only seams keep tokens apart.
std::vector<std::string> pieces(const std::string& pre, const std::string& text) {
  std::vector<std::string> tokens, merges;
  const auto spelled = [&](std::size_t begin, std::size_t end) {
    return to_byte_level(text.substr(begin, end - begin));
  };
  const auto add = [](std::vector<std::string>& to, std::string one) {
    if (std::find(to.begin(), to.end(), one) == to.end()) to.push_back(std::move(one));
  };
  for (std::size_t length = 2; length <= text.size(); ++length)
    for (std::size_t begin = 0; begin + length <= text.size(); ++begin) {
      add(tokens, spelled(begin, begin + length));
      for (std::size_t middle = begin + 1; middle < begin + length; ++middle)
        add(merges, spelled(begin, middle) + " " + spelled(middle, begin + length));
    }
  const Made made(pre, tokens, merges);
  const auto tokenizer = Tokenizer::from_gguf(made.vocabulary, "some.gguf");
  EXPECT_TRUE(tokenizer.ok()) << (tokenizer.ok() ? "" : tokenizer.error().message);
  std::vector<std::string> out;
  if (tokenizer.ok())
    for (const TokenId id : tokenizer->encode(text)) out.emplace_back(tokenizer->token_bytes(id));
  return out;
}

struct Cut {
  const char* pre;
  const char* text;
  std::vector<std::string> pieces;
};

class Cuts : public ::testing::TestWithParam<Cut> {};

TEST_P(Cuts, AsThePublishedPatternDoes) {
  EXPECT_THAT(pieces(GetParam().pre, GetParam().text), ElementsAreArray(GetParam().pieces));
}

// The published range ࠀ-一 (U+0800 to U+4E00) takes extended Greek out of its word again.
INSTANTIATE_TEST_SUITE_P(Names, Cuts,
                         ::testing::Values(Cut{"deepseek-llm", "a b12\nc!", {"a", " b", "1", "2", "\n", "c", "!"}},
                                           Cut{"deepseek-llm", "да ὧν 水", {"да", " ", "ὧ", "ν", " ", "水"}},
                                           Cut{"deepseek-coder", "a_b 12", {"a", "_", "b", " ", "1", "2"}},
                                           Cut{"deepseek-v3", "ab1234 c.d", {"ab", "123", "4", " c", ".d"}},
                                           Cut{"deepseek-r1-qwen", "it's 12", {"it", "'s", " ", "1", "2"}},
                                           Cut{"qwen2", "it's 12", {"it", "'s", " ", "1", "2"}},
                                           Cut{"llama-bpe", "it's 1234", {"it", "'s", " ", "123", "4"}},
                                           Cut{"smollm", "it's 12", {"it", "'s", " ", "1", "2"}},
                                           Cut{"kimi-k2", "abCd 1234", {"ab", "Cd", " ", "123", "4"}}),
                         [](const auto& named) {
                           std::string name = named.param.pre;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name + "_" + std::to_string(named.index);
                         });

TEST(GgufVocabulary, AnUnknownPreTokenizerIsNamedWithThoseThereAre) {
  EXPECT_THAT(Made("gpt-9").refused(), testing::AllOf(HasSubstr("some.gguf: key tokenizer.ggml.pre"),
                                                      HasSubstr("kimi-k2"), HasSubstr("found gpt-9")));
  EXPECT_THAT(Made("").refused(), HasSubstr("found none"));
  EXPECT_THAT(Made("a\nb").refused(), testing::Not(HasSubstr("\n")));
  Made spm("qwen2");
  spm.vocabulary.model = "llama";
  EXPECT_THAT(spm.refused(), HasSubstr("key tokenizer.ggml.model: expected gpt2"));
}

TEST(GgufVocabulary, SizesAndTypesAreChecked) {
  Made none("qwen2");
  none.vocabulary.tokens.clear();
  EXPECT_THAT(none.refused(), HasSubstr("key tokenizer.ggml.tokens: expected 1 to"));
  Made types("qwen2");
  types.vocabulary.token_types.assign(255, 1);
  EXPECT_THAT(types.refused(),
              HasSubstr("key tokenizer.ggml.token_type: expected a type for each of 256 tokens, found 255"));
  types.vocabulary.token_types.assign(256, 1);
  types.vocabulary.token_types[7] = 9;
  EXPECT_THAT(types.refused(), HasSubstr("expected types from 1 to 6, found 9 of token 7"));
}

TEST(GgufVocabulary, MergesMustBePairsOfTokens) {
  EXPECT_THAT(Made("qwen2", {"ab"}, {"a b", "ab zz"}).refused(), HasSubstr("key tokenizer.ggml.merges: [1]"));
  EXPECT_THAT(Made("kimi-k2", {"ab"}).refused(), HasSubstr("key tokenizer.ggml.merges: expected merges"));
  EXPECT_THAT(Made("qwen2", {}, {"a b"}).refused(), HasSubstr("[0]"));  // the result is no token
  EXPECT_THAT(Made("qwen2", {"ab"}, {"ab"}).refused(), HasSubstr("expected \"a b\", found \"ab\""));
  EXPECT_THAT(Made("qwen2", {"ab"}, {"a b c"}).refused(), HasSubstr("expected \"a b\""));
}

TEST(GgufVocabulary, SpecialTokensAreIdsOfTheVocabulary) {
  Made made("qwen2", {"<s>"});
  made.vocabulary.token_types.assign(257, 1);
  made.vocabulary.token_types[256] = 3;
  made.vocabulary.bos = 256;
  const auto tokenizer = Tokenizer::from_gguf(made.vocabulary, "some.gguf");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->bos(), TokenId{256});
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_TRUE(tokenizer->is_control(TokenId{256}));
  EXPECT_EQ(tokenizer->encode("<s>", SpecialTokens::parse), std::vector{TokenId{256}});
  EXPECT_EQ(tokenizer->encode("<s>").size(), 3u);  // text of a user
  for (const std::int64_t id : {std::int64_t{-1}, std::int64_t{257}, std::int64_t{1} << 40}) {
    made.vocabulary.eos = id;
    EXPECT_THAT(made.refused(), HasSubstr("key tokenizer.ggml.eos_token_id: expected an id from 0 to 256"));
  }
}

// Found by the fuzzer: a control token given twice, whose spelling was put into the message as it is.
TEST(GgufVocabulary, MessagesAreOneLine) {
  Made made("qwen2", {"a\nb", "a\nb"});
  made.vocabulary.token_types.assign(258, 1);
  made.vocabulary.token_types[256] = made.vocabulary.token_types[257] = 3;
  EXPECT_THAT(made.refused(), testing::AllOf(HasSubstr("a?b"), testing::Not(HasSubstr("\n"))));
}

TEST(GgufVocabulary, LlamaBeginsWithBosUnlessToldOtherwise) {
  Made made("llama-bpe");
  made.vocabulary.bos = 1;
  EXPECT_TRUE(Tokenizer::from_gguf(made.vocabulary, "f")->adds_bos());
  made.vocabulary.add_bos = false;
  EXPECT_FALSE(Tokenizer::from_gguf(made.vocabulary, "f")->adds_bos());
}

}  // namespace
}  // namespace hadal
