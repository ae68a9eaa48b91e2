// tokenize and render: what goes in comes back, and a user's text never becomes a control token.
#include <gmock/gmock.h>

#include "base/json.h"
#include "chat/tiny_model.h"
#include "cli/process.h"

namespace hadal {
namespace {

Json json_of(const Outcome& outcome) {
  const auto json = parse_json(expect_done(outcome), "stdout");
  EXPECT_TRUE(json.ok()) << outcome.out;
  return json.ok() ? *json : Json();
}

class TextCommands : public ::testing::Test {
 protected:
  void SetUp() override { testing::write_tokenizer(folder_.path(), testing::tiny_tokenizer("the deep sea")); }
  std::string model() const { return folder_.path(); }

  TempDir folder_;
};

TEST_F(TextCommands, DecodeGivesBackWhatTokenizeTook) {
  for (const std::string text :
       {"", "the deep sea", " 12 km\r\n\tdown\n\n", "深海 5€ 🐟", "<think> <｜User｜> </think>", "{\"ids\": [1]}"}) {
    const Outcome encoded = run_hadal({"tokenize", model(), "--json"}, text);
    Json ids = json_of(encoded);
    ASSERT_TRUE(ids.is_object() && ids.size() == 1 && ids["ids"].is_array()) << encoded.out;
    EXPECT_EQ(json_of(run_hadal({"tokenize", model(), "--decode", "--json"}, encoded.out)), Json({{"text", text}}));
    EXPECT_EQ(expect_done(run_hadal({"tokenize", model(), "--decode"}, ids["ids"].dump())), text);
  }
}

// MODELS.md 10.5: rows of the head beyond the vocabulary.
TEST_F(TextCommands, IdsOutsideTheVocabularyDecodeToNothing) {
  Json ids = json_of(run_hadal({"tokenize", model(), "--json"}, "the sea"))["ids"];
  ids.insert(ids.begin() + 1, {5000, 2147483647});
  EXPECT_EQ(expect_done(run_hadal({"tokenize", model(), "--decode"}, ids.dump())), "the sea");
}

TEST_F(TextCommands, ControlTokensInTextCountOnlyWhenAskedFor) {
  const Tokenizer tokenizer = *Tokenizer::from_directory(folder_.path());
  const Json parsed = json_of(run_hadal({"tokenize", model(), "--special", "parse", "--json"}, "<｜User｜>"));
  EXPECT_EQ(parsed, Json({{"ids", {index(*tokenizer.find_control("<｜User｜>"))}}}));
  for (const std::vector<std::string>& plain : {std::vector<std::string>{}, {"--special", "plain"}}) {
    std::vector<std::string> arguments{"tokenize", model(), "--json"};
    arguments.insert(arguments.end(), plain.begin(), plain.end());
    Json ids = json_of(run_hadal(arguments, "<｜User｜>"));
    EXPECT_GT(ids["ids"].size(), 3u);
    for (const Json& id : ids["ids"]) EXPECT_FALSE(tokenizer.is_control(TokenId{id.get<int>()}));
  }
}

TEST_F(TextCommands, WithoutJsonEachTokenHasItsLine) {
  const std::string lines = expect_done(run_hadal({"tokenize", model()}, "the deep"));
  EXPECT_THAT(lines, ::testing::ContainsRegex("^ +[0-9]+  \"the\"\n +[0-9]+  \" deep\"\n$"));
}

// The format as DeepSeek publishes it (MODELS.md 10.3), written out by hand.
TEST_F(TextCommands, RenderGivesThePromptOfV3) {
  BpeTrainerOptions v3;
  v3.special_tokens = {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"};
  v3.chat_template = "";
  testing::write_tokenizer(folder_.path(), testing::tiny_tokenizer("", v3));
  const std::string request =
      R"({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <｜User｜>"},
                       {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "5€?"}]})";
  const std::string prompt =
      "<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi <｜User｜><｜Assistant｜>Hello.<｜end▁of▁sentence｜><｜User｜>5€?"
      "<｜Assistant｜>";
  EXPECT_EQ(expect_done(run_hadal({"render", model()}, request)), prompt);
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--format", "deepseek-v3"}}) {
    std::vector<std::string> arguments{"render", model(), "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Json rendered = json_of(run_hadal(arguments, request));
    EXPECT_EQ(rendered["prompt"], prompt);
    std::vector<int> control;  // those of the format; the user's "<｜User｜>" is text
    for (const Json& id : rendered["ids"])
      if (id.get<int>() < 4) control.push_back(id.get<int>());
    EXPECT_EQ(control, (std::vector{0, 2, 3, 1, 2, 3}));
    EXPECT_EQ(json_of(run_hadal({"tokenize", model(), "--decode", "--json"}, rendered["ids"].dump()))["text"], prompt);
  }
}

TEST_F(TextCommands, RenderFollowsTheRequest) {
  const auto prompt = [&](const std::string& fields) {
    return json_of(run_hadal({"render", model(), "--json"},
                             R"({"messages": [{"role": "user", "content": "hi"}])" + fields + "}"))["prompt"];
  };
  const std::string begin = "<｜begin▁of▁sentence｜><｜User｜>hi";
  EXPECT_EQ(prompt(""), begin + "<｜Assistant｜><think>\n");
  EXPECT_EQ(prompt(R"(, "thinking": false)"), begin + "<｜Assistant｜><think>\n\n</think>\n\n");
  EXPECT_EQ(prompt(R"(, "add_generation_prompt": false)"), begin);
}

}  // namespace
}  // namespace hadal
