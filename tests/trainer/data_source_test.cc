// Sources of text: files, generators, conversations; what is absent, held out or ill-formed.
#include "trainer/data_source.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>

#include "tiny.h"
#include "trainer/tasks/generators.h"
#include "trainer/tasks/judge.h"

namespace hadal {
namespace {

TEST(TaskSource, GoesThroughItsFilesOnceARound) {
  TemporaryFolder folder;
  std::ofstream out(folder.path() / "gcd.jsonl");
  for (int i = 1; i <= 20; ++i)
    out << R"({"task": "gcd", "id": )" << i
        << R"(, "question": "Find the Greatest Common Divisor (GCD) of these numbers: )" << 6 * i
        << R"(, 6. Give only the GCD as your final answer.", "answer": "6", "meta": {"numbers": [)" << 6 * i
        << ", 6]}}\n";
  out.close();
  SourceRecipe recipe;
  recipe.name = "gcd";
  recipe.paths = {folder.path() / "gcd.jsonl"};
  const auto source = open_source(recipe, 3, tiny_data().none);
  ASSERT_TRUE(source.ok()) << source.error().message;
  ASSERT_EQ((*source)->size(), 20u);
  std::vector<std::string> orders[2];
  for (std::uint64_t n = 0; n < 40; ++n) {
    const auto text = (*source)->text(n);
    ASSERT_TRUE(text.ok()) << text.error().message;
    ASSERT_TRUE(text->has_value());
    orders[n / 20].push_back(std::get<QuestionText>(**text).question);
  }
  EXPECT_NE(orders[0], orders[1]);
  for (auto& order : orders) std::sort(order.begin(), order.end());
  EXPECT_EQ(orders[0], orders[1]);
  EXPECT_EQ(std::set<std::string>(orders[0].begin(), orders[0].end()).size(), 20u);
}

TEST(TaskSource, AnItemThatCannotBeJudgedIsFoundWhenTheFileIsOpened) {
  TemporaryFolder folder;
  SourceRecipe recipe;
  recipe.name = "sums";
  recipe.paths = {folder.path() / "sums.jsonl"};
  const std::string sum = R"({"task": "chain_sum", "id": 1, "question": "1 + 1 =", "answer": "2"})";
  std::ofstream(recipe.paths[0]) << sum << "\n"
                                 << R"({"task": "chain_sum", "id": 2, "question": "1 + 2 =", "answer": "x"})";
  const auto broken = open_source(recipe, 3, tiny_data().none);
  ASSERT_FALSE(broken.ok());
  EXPECT_NE(broken.error().message.find("sums.jsonl:2: "), std::string::npos) << broken.error().message;
  // Of a task that nobody judges nothing can be asked.
  std::ofstream(recipe.paths[0]) << R"({"task": "poetry", "id": 1, "question": "A rhyme?", "answer": "x"})";
  const auto unknown = open_source(recipe, 3, tiny_data().none);
  ASSERT_TRUE(unknown.ok()) << unknown.error().message;
  const auto question = (*unknown)->question(0);
  ASSERT_TRUE(question.ok()) << question.error().message;
  EXPECT_FALSE(question->has_value());
}

// It may lie anywhere in a file of a million, and be drawn when the run is hours old.
TEST(TaskSource, AnItemThatCannotBeWorkedOutIsPassedOver) {
  TemporaryFolder folder;
  SourceRecipe recipe;
  recipe.name = "gcd";
  recipe.paths = {folder.path() / "gcd.jsonl"};
  std::ofstream(recipe.paths[0])
      << R"({"task": "gcd", "question": "of 4 and 6", "answer": "2", "meta": {"numbers": [4, 6]}}
{"task": "gcd", "question": "of 4, 6 and 8", "answer": "2", "meta": {"numbers": [4, 6, 8]}})";
  const auto source = open_source(recipe, 3, tiny_data().none);
  ASSERT_TRUE(source.ok()) << source.error().message;
  std::size_t given = 0;
  for (std::uint64_t n = 0; n < 10; ++n) {
    const auto text = (*source)->text(n);
    ASSERT_TRUE(text.ok()) << text.error().message;
    given += text->has_value();
    EXPECT_TRUE((*source)->question(n)->has_value());  // it can be asked
  }
  EXPECT_EQ(given, 5u);
}

TEST(StorySource, HeldOutStoriesArePassedOver) {
  SourceRecipe recipe;
  recipe.name = "stories";
  recipe.kind = SourceKind::generator;
  recipe.generator = "word_problems";
  recipe.paths = {templates_path()};
  QuestionFilter filter;
  const auto source = open_source(recipe, 7, filter);
  ASSERT_TRUE(source.ok()) << source.error().message;
  const auto item = (*source)->question(3);
  ASSERT_TRUE(item.ok() && item->has_value());
  filter.add(**item);
  EXPECT_FALSE((*source)->question(3)->has_value());
  EXPECT_FALSE((*source)->text(3)->has_value());
  EXPECT_TRUE((*source)->text(4)->has_value());
}

TEST(TaskSource, HeldOutQuestionsArePassedOver) {
  SourceRecipe recipe;
  recipe.name = "made";
  recipe.kind = SourceKind::generator;
  recipe.generator = "gcd";
  QuestionFilter filter;
  Rng rng(5);
  const auto open = open_source(recipe, 5, filter);
  ASSERT_TRUE(open.ok()) << open.error().message;
  const auto first = (*open)->text(0);
  ASSERT_TRUE(first.ok() && first->has_value());
  // The same item again, held out this time.
  Rng again(5 ^ 0);
  auto item = make_task("gcd", {}, again);
  ASSERT_TRUE(item.ok());
  ASSERT_EQ(item->question, std::get<QuestionText>(**first).question);
  filter.add(*item);
  const auto second = (*open)->text(0);
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE(second->has_value());
}

SourceRecipe notebook(const TemporaryFolder& folder) {
  const auto path = folder.path() / "words.txt";
  std::ofstream(path) << "lion\nwhale\nsquid\nvent\n";
  SourceRecipe recipe;
  recipe.name = "notebook";
  recipe.kind = SourceKind::generator;
  recipe.generator = "notebook";
  recipe.paths = {path};
  return recipe;
}

TEST(NotebookSource, GivesPagesOfWhichTheHeadingsAreNotLearned) {
  TemporaryFolder folder;
  const auto source = open_source(notebook(folder), 7, tiny_data().none);
  ASSERT_TRUE(source.ok()) << source.error().message;
  std::size_t notes = 0;
  for (std::uint64_t n = 0; n < 100; ++n) {
    ASSERT_FALSE((*source)->question(n)->has_value());
    const auto text = (*source)->text(n);
    ASSERT_TRUE(text.ok() && text->has_value());
    const auto& page = std::get<DocumentText>(**text);
    EXPECT_EQ(page.given.front().first, 0u);
    for (const auto& [begin, end] : page.given) {
      EXPECT_EQ(page.text.find('\n', begin), end - 1) << page.text;  // a line of its own
      EXPECT_TRUE(begin == 0 || page.text[begin - 1] == '\n') << page.text;
    }
    notes += page.given.size();
  }
  EXPECT_GT(notes, 150u);
  EXPECT_LT(notes, 250u);
}

TEST(NotebookSource, HeldOutSubjectsArePassedOver) {
  TemporaryFolder folder;
  QuestionFilter filter;
  const auto source = open_source(notebook(folder), 7, filter);
  ASSERT_TRUE(source.ok());
  // Products of one digit each, which some pages have.
  const auto pages_with_small_products = [&source] {
    static const std::regex small("(^|\n)(The product |Long multiplication: )?[0-9] \\* [0-9]( row by row)?\n");
    std::size_t found = 0;
    for (std::uint64_t n = 0; n < 1000; ++n) {
      const auto text = (*source)->text(n);
      if (text->has_value()) found += std::regex_search(std::get<DocumentText>(**text).text, small);
    }
    return found;
  };
  EXPECT_GT(pages_with_small_products(), 10u);
  for (int a = 0; a < 10; ++a) {
    for (int b = 0; b < 10; ++b) {
      TaskItem item;
      item.task = "products";
      item.meta = {{"expression", std::to_string(a) + " * " + std::to_string(b)}};
      filter.add(item);
    }
  }
  EXPECT_EQ(pages_with_small_products(), 0u);
}

TEST(TextSource, GivesEveryByteOnce) {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 900; ++i) text += "Tiefe " + std::to_string(i) + " Fäden\n";
  std::ofstream(folder.path() / "a.txt") << text;
  SourceRecipe recipe;
  recipe.name = "t";
  recipe.kind = SourceKind::text;
  recipe.paths = {folder.path() / "a.txt"};
  const auto source = open_source(recipe, 3, tiny_data().none);
  ASSERT_TRUE(source.ok());
  ASSERT_GT((*source)->size(), 4u);
  std::size_t bytes = 0, ends = 0;
  for (std::uint64_t n = 0; n < (*source)->size(); ++n) {
    const auto part = (*source)->text(n);
    ASSERT_TRUE(part.ok() && part->has_value());
    const auto& document = std::get<DocumentText>(**part);
    bytes += document.text.size();
    ends += document.ends;
    EXPECT_TRUE(document.text.back() == '\n' || document.text.back() == ' ');  // never inside a word
  }
  EXPECT_EQ(bytes, text.size());
  EXPECT_EQ(ends, 1u);
}

TEST(TextSource, IllFormedTextIsRefusedWithItsOffset) {
  TemporaryFolder folder;
  std::ofstream(folder.path() / "bad.txt") << "good\xff";
  SourceRecipe recipe;
  recipe.kind = SourceKind::text;
  recipe.paths = {folder.path() / "bad.txt"};
  const auto source = open_source(recipe, 3, tiny_data().none);
  ASSERT_FALSE(source.ok());
  EXPECT_NE(source.error().message.find("bad.txt"), std::string::npos);
  EXPECT_NE(source.error().message.find("byte 4"), std::string::npos) << source.error().message;
}

constexpr const char* kTwoConversations =
    R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "reasoning_content": "greeting", "content": "Hello!"}]}

{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello!"},
)";

SourceRecipe conversations(const TemporaryFolder& folder, const std::string& text) {
  const auto path = folder.path() / "talk.jsonl";
  std::ofstream(path) << text;
  return {.name = "talk",
          .kind = SourceKind::conversations,
          .paths = {path},
          .generator = "",
          .languages = {},
          .words = {}};
}

TEST(ConversationSource, TeachesTheLastMessageOnly) {
  TemporaryFolder folder;
  const QuestionFilter none;
  const auto source = open_source(
      conversations(folder,
                    R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello!"}, )"
                    R"({"role": "user", "content": "thanks"}, )"
                    R"({"role": "assistant", "reasoning_content": "thanks", "content": "Any time."}]})"),
      1, none);
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_EQ((*source)->size(), 1u);
  const auto text = (*source)->text(3);
  ASSERT_TRUE(text.ok() && text->has_value());
  const auto example = tiny_data().encoder->encode(std::get<ConversationText>(**text));
  ASSERT_TRUE(example.ok()) << example.error().message;
  const Tokenizer& tokenizer = tiny_data().encoder->tokenizer();
  std::vector<TokenId> learned;
  for (std::size_t i = 0; i < example->tokens.size(); ++i)
    if (example->parts[i] == TokenPart::answer) learned.push_back(example->tokens[i]);
  EXPECT_EQ(tokenizer.decode(learned), "thanks\n</think>\n\nAny time.<｜end▁of▁sentence｜>");
  EXPECT_EQ(tokenizer.decode(example->tokens),
            "<｜begin▁of▁sentence｜><｜User｜>hi<｜Assistant｜>Hello!<｜end▁of▁sentence｜><｜User｜>thanks<"
            "｜Assistant｜><think>\n"
            "thanks\n</think>\n\nAny time.<｜end▁of▁sentence｜>");
}

TEST(ConversationSource, SaysWhichAnswersAreLearnedByLetters) {
  TemporaryFolder folder;
  const std::string messages =
      R"({"messages": [{"role": "user", "content": "sun"}, {"role": "assistant", "content": "nus"}])";
  for (const auto& [more, by_letters] : {std::pair{"}", false}, std::pair{R"(, "answer_by_letters": false})", false},
                                         std::pair{R"(, "answer_by_letters": true})", true}}) {
    const auto source = open_source(conversations(folder, messages + more), 1, tiny_data().none);
    ASSERT_TRUE(source.ok()) << source.error().message;
    EXPECT_EQ(std::get<ConversationText>(**(*source)->text(0)).answer_by_letters, by_letters) << more;
  }
}

TEST(ConversationSource, WhatIsWrongIsNamedWithItsLine) {
  const QuestionFilter none;
  const std::pair<std::string, std::string> cases[] = {
      {kTwoConversations, ":3: not JSON"},
      {R"([1])", ":1: expected an object with messages, found [1]"},
      {R"({"messages": [{"role": "user", "content": "hi"}]})", ":1: messages: expected at least two"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]})", "the last of user"},
      {R"({"messages": [{"role": "user"}, {"role": "assistant", "content": "b"}]})", "messages[0]: content"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "answer_by_letters": 1})",
       ":1: answer_by_letters: expected true or false, found 1"},
      {"\n\n", "expected conversations, found empty files"},
  };
  for (const auto& [text, said] : cases) {
    TemporaryFolder folder;
    const auto source = open_source(conversations(folder, text), 1, none);
    ASSERT_FALSE(source.ok()) << text;
    EXPECT_NE(source.error().message.find(said), std::string::npos) << source.error().message;
  }
}

TEST(AbsentFiles, FailOrAreMadeOrLeftOutAsTheRecipeSays) {
  const QuestionFilter none;
  SourceRecipe recipe{.name = "gcd",
                      .kind = SourceKind::tasks,
                      .paths = {"/nonexistent/gcd.jsonl"},
                      .generator = "",
                      .languages = {},
                      .words = {}};
  const auto failed = open_source(recipe, 1, none);
  ASSERT_FALSE(failed.ok());
  EXPECT_NE(failed.error().message.find("/nonexistent/gcd.jsonl"), std::string::npos);

  recipe.if_absent = IfAbsent::leave_out;
  const auto left_out = open_source(recipe, 1, none);
  ASSERT_TRUE(left_out.ok());
  EXPECT_EQ(*left_out, nullptr);

  recipe.if_absent = IfAbsent::generate;
  const auto made = open_source(recipe, 1, none);
  ASSERT_TRUE(made.ok()) << made.error().message;
  const auto text = (*made)->text(0);
  ASSERT_TRUE(text.ok() && text->has_value());
  EXPECT_NE(std::get<QuestionText>(**text).question.find("Greatest Common Divisor"), std::string::npos);

  recipe.name = "spell_backward";  // its generator draws from words
  EXPECT_FALSE(open_source(recipe, 1, none).ok());
  recipe.words = {std::filesystem::path(HADAL_SOURCE_DIR) / "recipes/data/words.txt"};
  EXPECT_TRUE(open_source(recipe, 1, none).ok());
}

}  // namespace
}  // namespace hadal
