// tokenizer.json as it should not be: each broken file is one error that says where and what.
// And the parts of the format that the golden files do not use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "base/json.h"
#include "text/byte_level.h"
#include "text/tokenizer.h"
#include "text_goldens.h"

namespace hadal {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Bytes 0..255 have ids 0..255, then "he", "ll", "hell", "hello", " w"; 300 is <x>.
Json small_file() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) vocab[to_byte_level(std::string(1, static_cast<char>(byte)))] = byte;
  int next = 256;
  for (const char* token : {"he", "ll", "hell", "hello", "Ġw"}) vocab[token] = next++;
  const Json x = {{"id", 300}, {"content", "<x>"}};
  return {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"h e", "l l", "he ll", "hell o", "Ġ w"}}}},
          {"added_tokens", {x}},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"decoder", {{"type", "ByteLevel"}}}};
}

Tokenizer tokenizer_of(const Json& json) {
  auto result = Tokenizer::from_json(json.dump(), "tokenizer.json");
  HADAL_CHECK(result.ok());
  return *result;
}

std::string error_of(const std::function<void(Json&)>& damage) {
  Json json = small_file();
  damage(json);
  const auto result = Tokenizer::from_json(json.dump(), "tokenizer.json");
  if (result.ok()) return "no error";
  const std::string& message = result.error().message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_LT(message.size(), 400u) << message;
  return message;
}

std::vector<int> encoded(const Json& json, const char* text, SpecialTokens special = SpecialTokens::plain) {
  return numbers(tokenizer_of(json).encode(text, special));
}

TEST(TokenizerJson, MergesByRank) {
  EXPECT_EQ(encoded(small_file(), "hello w"), (std::vector<int>{259, 260}));
  EXPECT_EQ(encoded(small_file(), "hel"), (std::vector<int>{256, 'l'}));
  EXPECT_EQ(encoded(small_file(), "a<x>b"), (std::vector<int>{'a', '<', 'x', '>', 'b'}));
  EXPECT_EQ(encoded(small_file(), "a<x>b", SpecialTokens::parse), (std::vector<int>{'a', 300, 'b'}));
}

TEST(TokenizerJson, NamesBrokenMerges) {
  const auto merges = [](Json list) { return error_of([&](Json& json) { json["model"]["merges"] = list; }); };
  EXPECT_THAT(merges({"h e", "l q"}), AllOf(HasSubstr("merges[1]"), HasSubstr("found \"lq\"")));
  EXPECT_THAT(merges({"hello nobody"}), AllOf(HasSubstr("merges[0]"), HasSubstr("found \"nobody\"")));
  EXPECT_THAT(merges({"he"}), HasSubstr("expected \"a b\" or [\"a\", \"b\"], found \"he\""));
  EXPECT_THAT(merges({"h e l"}), HasSubstr("expected \"a b\""));
  EXPECT_THAT(merges({3}), HasSubstr("found 3"));
  EXPECT_THAT(merges(Json::array({Json::array({"h"})})), HasSubstr("found [\"h\"]"));
  EXPECT_THAT(merges({"h e", "h e"}), HasSubstr("merges[1]: \"h\" and \"e\" are merged a second time"));
  EXPECT_THAT(merges(nullptr), HasSubstr("merges: expected a list, found nothing"));
}

TEST(TokenizerJson, NamesBrokenIds) {
  const auto id = [](Json value) { return error_of([&](Json& json) { json["model"]["vocab"]["he"] = value; }); };
  EXPECT_THAT(id(257), HasSubstr("id 257 is given twice"));
  EXPECT_THAT(id(-1), HasSubstr("\"he\": expected an id from 0 to 1048575, found -1"));
  EXPECT_THAT(id(1 << 20), HasSubstr("found 1048576"));
  EXPECT_THAT(id(18446744073709551615u), HasSubstr("found 18446744073709551615"));
  EXPECT_THAT(id(1.5), HasSubstr("found 1.5"));
  EXPECT_THAT(id("7"), HasSubstr("found \"7\""));
}

TEST(TokenizerJson, NamesBrokenAddedTokens) {
  const auto with = [](Json token) { return error_of([&](Json& json) { json["added_tokens"].push_back(token); }); };
  EXPECT_THAT(with({{"id", 7}, {"content", "<y>"}}), HasSubstr("id 7 is given twice"));
  EXPECT_THAT(with({{"id", 301}, {"content", "he"}}), HasSubstr("expected id 256 as elsewhere in the file, found 301"));
  EXPECT_THAT(with({{"id", 300}, {"content", "<x>"}}), HasSubstr("\"<x>\" is given twice"));
  EXPECT_THAT(with({{"id", 301}, {"content", ""}}), HasSubstr("added token 301: expected 1 to 1024 bytes"));
  EXPECT_THAT(with({{"id", 301}, {"content", std::string(1025, 'a')}}), HasSubstr("found 1025"));
  EXPECT_THAT(with({{"id", 1 << 30}, {"content", "<y>"}}), HasSubstr("id: expected a whole number from 0 to 1048575"));
  EXPECT_THAT(with({{"content", "<y>"}}), HasSubstr("id: expected a whole number"));
  EXPECT_THAT(with({{"id", 301}, {"content", "<y>"}, {"single_word", true}}), HasSubstr("single_word"));
  EXPECT_THAT(with(5), HasSubstr("added_tokens[1]: content: expected a string"));
}

TEST(TokenizerJson, NeverMakesAnAddedTokenByMerging) {
  // "he" as an added token: the merge h + e would make it out of plain text.
  const std::string error = error_of([](Json& json) {
    json["added_tokens"].push_back({{"id", 256}, {"content", "he"}});
  });
  EXPECT_THAT(error, HasSubstr("expected no added token in a merge, found \"he\""));
  // With ignore_merges a whole piece would be looked up by its spelling.
  Json json = small_file();
  json["model"]["ignore_merges"] = true;
  json["model"]["vocab"]["<s>"] = 290;
  json["added_tokens"].push_back({{"id", 290}, {"content", "<s>"}});
  json["pre_tokenizer"]["use_regex"] = false;
  EXPECT_EQ(encoded(json, "<s>"), (std::vector<int>{'<', 's', '>'}));
  EXPECT_EQ(encoded(json, "<s>", SpecialTokens::parse), (std::vector<int>{290}));
}

TEST(TokenizerJson, NamesWhatItDoesNotKnow) {
  const auto set = [](const char* pointer, Json value) {
    return error_of([&](Json& json) { json[Json::json_pointer(pointer)] = value; });
  };
  EXPECT_THAT(set("/model/type", "Unigram"), HasSubstr("expected type BPE, found Unigram"));
  EXPECT_THAT(set("/model/byte_fallback", true), HasSubstr("byte_fallback: expected none, found true"));
  EXPECT_THAT(set("/model/dropout", 0.1), HasSubstr("dropout: expected none, found 0.1"));
  EXPECT_THAT(set("/model/continuing_subword_prefix", "##"), HasSubstr("found \"##\""));
  EXPECT_THAT(set("/normalizer", {{"type", "NFKC"}}), HasSubstr("normalizer: expected NFC"));
  EXPECT_THAT(set("/pre_tokenizer", {{"type", "Metaspace"}}), HasSubstr("found Metaspace"));
  EXPECT_THAT(set("/pre_tokenizer", {{"type", "Digits"}}), HasSubstr("expected a ByteLevel step, found Digits"));
  EXPECT_THAT(set("/pre_tokenizer", nullptr), HasSubstr("pre_tokenizer: expected one of byte-level BPE, found none"));
  EXPECT_THAT(set("/decoder", {{"type", "WordPiece"}}), HasSubstr("decoder: expected ByteLevel, found WordPiece"));
  EXPECT_THAT(set("/model", 7), HasSubstr("model: expected an object, found 7"));
  EXPECT_THAT(set("/model/vocab", Json::array()), HasSubstr("vocab: expected an object"));
  EXPECT_THAT(set("/added_tokens", 7), HasSubstr("added_tokens: expected a list"));
}

TEST(TokenizerJson, NamesBrokenPatterns) {
  const auto pattern = [](const char* regex) {
    const Json split = {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}};
    const Json bytes = {{"type", "ByteLevel"}, {"use_regex", false}};
    return error_of([&](Json& json) {
      json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {split, bytes}}};
    });
  };
  EXPECT_THAT(pattern("(a"), AllOf(HasSubstr("pre_tokenizer[0]: not a regular expression"), HasSubstr("\"(a\"")));
  EXPECT_THAT(pattern("[a"), HasSubstr("a class without its ]"));
  EXPECT_THAT(pattern("\\w+"), HasSubstr("unsupported: \"\\w\""));
  EXPECT_THAT(pattern("[a[bc]]"), HasSubstr("a class within a class"));
  EXPECT_THAT(pattern("[a&&b]"), HasSubstr("\"&&\" in a class"));
  EXPECT_THAT(pattern("a{1,3}+"), HasSubstr("\"}+\""));
  EXPECT_THAT(pattern("(*UCP)a"), HasSubstr("\"(*\""));
  EXPECT_THAT(pattern("(?R)"), HasSubstr("\"(?R\""));
  EXPECT_THAT(pattern("\\p{Nonsense}"), HasSubstr("not a regular expression"));
  EXPECT_THAT(pattern(""), HasSubstr("expected a pattern of 1 to"));
  EXPECT_THAT(pattern(std::string(100000, 'a').c_str()), HasSubstr("found 100000"));
}

TEST(TokenizerJson, IsNotFooledByDepthOrGarbage) {
  for (const std::string& text : {std::string(), std::string("{"), std::string(200000, '['), std::string("\xFF\xFE"),
                                  std::string("{\"model\": 1e999}"), std::string("[]"), std::string("null")}) {
    EXPECT_FALSE(Tokenizer::from_json(text, "tokenizer.json").ok()) << text.substr(0, 20);
  }
  std::string nested = R"({"type": "ByteLevel"})";
  for (int i = 0; i < 50; ++i) nested = R"({"type": "Sequence", "pretokenizers": [)" + nested + "]}";
  EXPECT_THAT(error_of([&](Json& json) { json["pre_tokenizer"] = Json::parse(nested); }),
              HasSubstr("sequences nested deeper than 8"));
}

TEST(TokenizerJson, SplitsDigitsAndAddsAPrefixSpace) {
  Json json = small_file();
  json["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Digits"}, {"individual_digits", true}}, {{"type", "ByteLevel"}, {"use_regex", false}}}}};
  // add_prefix_space is true by default, and each piece gets its own.
  EXPECT_EQ(encoded(json, "w12"), (std::vector<int>{260, ' ', '1', ' ', '2'}));
}

TEST(TokenizerJson, TakesBlanksBesideATokenAlong) {
  Json json = small_file();
  json["added_tokens"].push_back({{"id", 301}, {"content", "<m>"}, {"lstrip", true}, {"rstrip", true}});
  EXPECT_EQ(encoded(json, "a\u3000 <m>\n b", SpecialTokens::parse), (std::vector<int>{'a', 301, 'b'}));
}

TEST(TokenizerJson, PrefersTheLongestTokenAtTheLeftmostPlace) {
  Json json = small_file();
  int id = 301;
  for (const char* content : {"<x", "<x>>", "x>"}) json["added_tokens"].push_back({{"id", id++}, {"content", content}});
  EXPECT_EQ(encoded(json, "<x>>", SpecialTokens::parse), (std::vector<int>{302}));
  EXPECT_EQ(encoded(json, "<x>y", SpecialTokens::parse), (std::vector<int>{300, 'y'}));
  EXPECT_EQ(encoded(json, "<x", SpecialTokens::parse), (std::vector<int>{301}));
  EXPECT_EQ(encoded(json, "x>", SpecialTokens::parse), (std::vector<int>{303}));
}

TEST(TokenizerJson, ComposesBeforeItCutsWhenTheFileSaysNfc) {
  Json json = small_file();
  EXPECT_EQ(encoded(json, "e\u0301"), (std::vector<int>{'e', 0xCC, 0x81}));
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}}}};
  EXPECT_EQ(encoded(json, "e\u0301"), (std::vector<int>{0xC3, 0xA9}));
}

TEST(TokenizerJson, ReadsAFolder) {
  const auto folder = std::filesystem::temp_directory_path() / ("hadal_tokenizer_test_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  EXPECT_EQ(Tokenizer::from_directory(folder).error().kind, ErrorKind::not_found);
  std::ofstream(folder / "tokenizer.json") << small_file().dump();
  EXPECT_TRUE(Tokenizer::from_directory(folder).ok());
  std::ofstream(folder / "tokenizer_config.json") << R"({"bos_token": {"content": "<x>"}, "eos_token": "he",
      "chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]})";
  const auto tokenizer = Tokenizer::from_directory(folder);
  EXPECT_EQ(tokenizer->bos(), TokenId{300});
  EXPECT_EQ(tokenizer->eos(), TokenId{256});
  EXPECT_EQ(tokenizer->chat_template(), "D");
  std::ofstream(folder / "chat_template.jinja") << "J";
  EXPECT_EQ(Tokenizer::from_directory(folder)->chat_template(), "J");
  std::ofstream(folder / "tokenizer_config.json") << R"({"eos_token": "</s>"})";
  EXPECT_THAT(Tokenizer::from_directory(folder).error().message,
              AllOf(HasSubstr("tokenizer_config.json"), HasSubstr("eos_token: expected a token of the vocabulary")));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace hadal
