// The name by which a GGUF file says how a tokenizer.json cuts: only where what comes back makes the same ids.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/bpe_trainer.h"
#include "text/byte_level.h"
#include "text/gguf_vocabulary.h"
#include "text_goldens.h"

namespace hadal {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Json split(const char* pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
}
const Json kDigits = {{"type", "Digits"}, {"individual_digits", true}};
Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", use_regex}};
}
const char* const kCjk = "[一-龥぀-ゟ゠-ヿ]+";
// As the published file has it, with line breaks themselves in its classes.
const char* const kWordsOfV3 =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
    "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
const char* const kQwen =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+"
    "(?!\\S)|\\s+";

// The byte alphabet, and the products of `merges`, pairs of texts.
Json file(std::vector<Json> steps, const std::vector<std::pair<std::string, std::string>>& merges = {}) {
  Json vocab = Json::object(), pairs = Json::array();
  for (int byte = 0; byte < 256; ++byte) vocab[to_byte_level(std::string(1, static_cast<char>(byte)))] = byte;
  for (const auto& [left, right] : merges) {
    vocab[to_byte_level(left + right)] = vocab.size();
    pairs.push_back(Json::array({to_byte_level(left), to_byte_level(right)}));
  }
  return {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", pairs}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}}},
          {"decoder", {{"type", "ByteLevel"}}}};
}

std::string name_of(const Json& json) {
  const auto tokenizer = Tokenizer::from_json(json.dump(), "tokenizer.json");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  if (!tokenizer.ok()) return "";
  const auto name = tokenizer->gguf_pre_tokenizer("tokenizer.json");
  return name.ok() ? *name : name.error().message;
}

TEST(GgufPreTokenizer, PublishedTokenizersHaveTheirNames) {
  EXPECT_EQ(*golden_tokenizer("deepseek_v3").gguf_pre_tokenizer("f"), "deepseek-v3");
  EXPECT_EQ(*golden_tokenizer("deepseek_v4").gguf_pre_tokenizer("f"), "deepseek-v3");
  EXPECT_EQ(*golden_tokenizer("qwen2_5").gguf_pre_tokenizer("f"), "qwen2");
  EXPECT_EQ(*golden_tokenizer("llama3_2").gguf_pre_tokenizer("f"), "llama-bpe");
}

TEST(GgufPreTokenizer, StepsAreComparedWhateverTheyAreCalled) {
  EXPECT_EQ(name_of(file({kDigits, byte_level(true)})), "smollm");  // SmolLM2
  EXPECT_EQ(name_of(file({split("\\p{N}"), byte_level(true)})), "smollm");
  EXPECT_EQ(name_of(file({split("[\r\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"),
                          split("[一-龥ࠀ-一가-퟿]+"), kDigits, byte_level(false)})),
            "deepseek-coder");
  // MODELS.md 10.1, V2: its letters as the published file has them, characters themselves.
  EXPECT_EQ(
      name_of(file(
          {split("[\r\n]"),
           split("\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-"
                 "ἕἘ-Ἕἠ-ὅὈ-"
                 "Ὅὐ-ὗὙὛὝ\u1F5F-\u1F7Dᾀ-ᾴᾶ-ᾼ\u1FBEῂ-ῄῆ-ῌ\u1FD0-\u1FD3\u1FD6-\u1FDBῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212A-"
                 "ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-"
                 "𐳲𑢠-𑣟𞤀-"
                 "𞥃]+"),
           split("\\s?[!-/:-~！-／：-～‘-‟　-。]+"), split("\\s+$"), split("[一-龥ࠀ-一가-퟿]+"), kDigits,
           byte_level(false)})),
      "deepseek-llm");
}

TEST(GgufPreTokenizer, OneOtherStepIsAnotherPreTokenizer) {
  const auto refused = AllOf(HasSubstr("tokenizer.json: pre_tokenizer: expected that of one of deepseek-llm"),
                             HasSubstr("for which GGUF has names, found "));
  EXPECT_THAT(name_of(file({split("\\p{N}{1,3}"), split(kWordsOfV3), byte_level(false)})), refused);
  EXPECT_THAT(name_of(file({split("\\p{N}{1,3}"), split(kCjk), split(kWordsOfV3), byte_level(true)})), refused);
  EXPECT_THAT(name_of(file({split("\\p{N}{1,2}"), split(kCjk), split(kWordsOfV3), byte_level(false)})),
              HasSubstr("found \\p{N}{1,2} then [\\x{4E00}-\\x{9FA5}"));
  Json prefixed = file({split("\\p{N}{1,3}"), split(kCjk), split(kWordsOfV3), byte_level(false)});
  EXPECT_EQ(name_of(prefixed), "deepseek-v3");
  prefixed["pre_tokenizer"]["pretokenizers"][3]["add_prefix_space"] = true;
  EXPECT_THAT(name_of(prefixed), refused);
}

TEST(GgufPreTokenizer, NormalizerAndWholePiecesBelongToTheName) {
  Json qwen = file({split(kQwen), byte_level(false)});
  EXPECT_EQ(name_of(qwen), "tokenizer.json: normalizer: expected NFC, as what GGUF calls qwen2, found none");
  qwen["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(name_of(qwen), "qwen2");
  qwen["model"]["ignore_merges"] = true;
  EXPECT_EQ(name_of(qwen),
            "tokenizer.json: model: ignore_merges: expected false, as what GGUF calls qwen2, found true");
  Json smol = file({kDigits, byte_level(true)});
  smol["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array({{{"type", "NFC"}}})}};
  EXPECT_EQ(name_of(smol), "tokenizer.json: normalizer: expected none, as what GGUF calls smollm, found NFC");
}

// hadal's own vocabularies cut numbers singly; deepseek-v3 cuts three at a time and merges inside.
TEST(GgufPreTokenizer, SingleDigitsAreThreesWhereNoMergeJoinsThem) {
  const std::vector<Json> steps{split("\\p{N}"), split(kCjk), split(kWordsOfV3), byte_level(false)};
  EXPECT_EQ(name_of(file(steps)), "deepseek-v3");
  EXPECT_EQ(name_of(file(steps, {{"a", "b"}, {"1", "a"}, {" ", "1"}, {"\xC2", "\xBD"}, {"\xB4", "\xD0"}})),
            "deepseek-v3");
  for (const auto& joining : std::vector<std::pair<std::string, std::string>>{
           {"1", "2"}, {"½", "1"}, {"\xBD", "\xC2"}, {"1", "\xD9"}, {"\xA9", "٣"}}) {
    EXPECT_EQ(name_of(file(steps, {{"a", "b"}, {"\xC2", "\xBD"}, {"\xD9", "\xA3"}, joining})),
              "tokenizer.json: pre_tokenizer: expected numbers in threes, as what GGUF calls deepseek-v3, found single "
              "ones, and merges that may join them")
        << joining.first << "+" << joining.second;
  }
  Json incomplete = file(steps);
  incomplete["model"]["vocab"].erase("a");
  EXPECT_THAT(name_of(incomplete), HasSubstr("may join them"));
}

}  // namespace
}  // namespace hadal
