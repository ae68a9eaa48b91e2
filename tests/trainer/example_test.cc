// Training examples have the very tokens that inference sees, and are learned where they should be.
#include "trainer/example.h"

#include <gtest/gtest.h>

#include "text/bpe_trainer.h"
#include "tiny.h"
#include "trainer/batch_stream.h"

namespace hadal {
namespace {

const Tokenizer& tokenizer() {
  return tiny_data().encoder->tokenizer();
}

std::string text_of(const std::vector<TokenId>& tokens, TokenPart part, const std::vector<TokenPart>& parts) {
  std::vector<TokenId> chosen;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if (parts[i] == part) chosen.push_back(tokens[i]);
  return tokenizer().decode(chosen);
}

TEST(Example, IsTheR1PromptAndWhatFollows) {
  const auto example = tiny_data().encoder->encode(QuestionText{"What is 2+2?", {"2+2=4", "4"}});
  ASSERT_TRUE(example.ok());
  EXPECT_EQ(
      tokenizer().decode(example->tokens),
      "<｜begin▁of▁sentence｜><｜User｜>What is 2+2?<｜Assistant｜><think>\n2+2=4\n</think>\n\n4<｜end▁of▁sentence｜>");
  EXPECT_EQ(text_of(example->tokens, TokenPart::prompt, example->parts),
            "<｜begin▁of▁sentence｜><｜User｜>What is 2+2?<｜Assistant｜><think>\n");
}

TEST(Example, ItsPromptIsThePromptOfInferenceTokenByToken) {
  const auto example = tiny_data().encoder->encode(QuestionText{"Wie viele?\n\n ", {"\n7", "7"}});
  ASSERT_TRUE(example.ok());
  const ChatMessage user{.role = "user", .content = "Wie viele?\n\n ", .reasoning_content = {}};
  const auto format = recognise_chat_format(tokenizer(), "test");
  ASSERT_TRUE(format.ok()) << format.error().message;  // a trained tokenizer says which format it is for
  EXPECT_EQ((*format)->name(), "deepseek-r1");
  const auto prompt = (*format)->render(std::span(&user, 1), {});
  ASSERT_TRUE(prompt.ok());
  const auto want = tokenizer().encode(prompt->prompt);
  ASSERT_TRUE(want.ok());
  ASSERT_LE(want->size(), example->tokens.size());
  for (std::size_t i = 0; i < example->tokens.size(); ++i) {
    EXPECT_EQ(example->parts[i], i < want->size() ? TokenPart::prompt : TokenPart::answer);
    if (i < want->size()) EXPECT_EQ(example->tokens[i], (*want)[i]);
  }
}

TEST(Example, ControlTokensInAQuestionStayText) {
  const auto example = tiny_data().encoder->encode(QuestionText{"<think></think><｜end▁of▁sentence｜>", {"x", "y"}});
  ASSERT_TRUE(example.ok());
  std::size_t ends = 0;
  for (const TokenId id : example->tokens) ends += id == tiny_data().encoder->eos();
  EXPECT_EQ(ends, 1u);
}

TEST(Example, AnswersByLettersHaveOneCharacterAToken) {
  WorkedExample worked{"steps", "tacéabc", true};
  const auto by_letters = tiny_data().encoder->encode(QuestionText{"q", worked});
  worked.answer_by_letters = false;
  const auto merged = tiny_data().encoder->encode(QuestionText{"q", worked});
  ASSERT_TRUE(by_letters.ok() && merged.ok());
  EXPECT_EQ(tokenizer().decode(by_letters->tokens), tokenizer().decode(merged->tokens));
  std::vector<TokenId> want;
  for (const char* letter : {"t", "a", "c", "é", "a", "b", "c"})
    for (const TokenId id : tokenizer().encode(letter)) want.push_back(id);
  want.push_back(tiny_data().encoder->eos());
  ASSERT_GE(by_letters->tokens.size(), want.size());
  EXPECT_TRUE(std::equal(want.rbegin(), want.rend(), by_letters->tokens.rbegin()));
}

TEST(Example, AConversationsAnswerByLettersIsThatOfTheQuestion) {
  const WorkedExample worked{"steps", "there é", true};
  ConversationText conversation;
  conversation.messages = {{.role = "user", .content = "q", .reasoning_content = {}},
                           {.role = "assistant", .content = worked.answer, .reasoning_content = worked.reasoning}};
  conversation.answer_by_letters = true;
  const auto question = tiny_data().encoder->encode(QuestionText{"q", worked});
  const auto talk = tiny_data().encoder->encode(conversation);
  ASSERT_TRUE(question.ok() && talk.ok());
  EXPECT_EQ(talk->tokens, question->tokens);
  EXPECT_EQ(talk->parts, question->parts);
  conversation.answer_by_letters = false;
  EXPECT_NE(tiny_data().encoder->encode(conversation)->tokens, question->tokens);
}

TEST(Example, DocumentsAreCutWithoutLosingATarget) {
  const std::string text = "Sieben Boote, acht Anker und 1234567890 Wellen.";
  const auto whole = tiny_data().encoder->encode(DocumentText{text, true, {}}, 1000);
  const auto pieces = tiny_data().encoder->encode(DocumentText{text, true, {}}, 7);
  ASSERT_EQ(whole.size(), 1u);
  TrainingBatch one, many;
  append_example(whole[0], TrainOn::answers, one);
  for (const TrainingExample& piece : pieces) {
    EXPECT_LE(piece.tokens.size(), 7u);
    append_example(piece, TrainOn::answers, many);
  }
  EXPECT_EQ(one.tokens, many.tokens);
  EXPECT_EQ(one.targets, many.targets);
  const auto open = tiny_data().encoder->encode(DocumentText{text, false, {}}, 1000);
  EXPECT_EQ(open[0].tokens.size() + 1, whole[0].tokens.size());  // no end where the document goes on
}

TEST(Example, WhatIsGivenIsNeverATarget) {
  const DocumentText drills{"12+7:91=19\n8*3=24\n", true, {{0, 5}, {11, 15}}};
  const auto pieces = tiny_data().encoder->encode(drills, 1000);
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(text_of(pieces[0].tokens, TokenPart::given, pieces[0].parts), "12+7:8*3=");
  for (const TrainOn train_on : {TrainOn::all, TrainOn::answers}) {
    TrainingBatch batch;
    append_example(pieces[0], train_on, batch);
    for (std::size_t i = 0; i < batch.targets.size(); ++i)
      EXPECT_EQ(batch.targets[i] == -1, pieces[0].parts[i + 1] == TokenPart::given) << i;
  }
}

TEST(Example, ATokenizerWithoutTheControlTokensIsRefused) {
  BpeTrainerOptions options;
  options.vocab_size = 300;
  options.special_tokens = {"<s>"};
  auto trainer = BpeTrainer::create(options);
  ASSERT_TRUE(trainer.ok());
  trainer->add("some text");
  const auto trained = trainer->train();
  ASSERT_TRUE(trained.ok());
  const auto encoder = ExampleEncoder::create(std::move(Tokenizer::from_json(trained->tokenizer_json, "t")).value());
  ASSERT_FALSE(encoder.ok());
  EXPECT_NE(encoder.error().message.find("<｜begin▁of▁sentence｜>"), std::string::npos) << encoder.error().message;
}

}  // namespace
}  // namespace hadal
