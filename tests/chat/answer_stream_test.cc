// What a reader sees of an answer depends on its bytes and its tags alone, not on the tokens that the bytes came in,
// and is whole at every moment.
#include "chat/answer_stream.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "chat/tiny_model.h"
#include "text/utf8.h"

namespace hadal {
namespace {

using Start = ReasoningSplitter::Start;
using Options = AnswerStream::Options;

// Every beginning of a word is a token too, so that a text can be cut into tokens in many ways.
constexpr std::string_view kWords = "think thinking END stop 5€ 深海 \n\n </ <";
const Tokenizer& tokenizer() {
  static const Tokenizer made = testing::opened(testing::tiny_tokenizer(kWords));
  return made;
}

// Its model can only spell the tags.
const Tokenizer& tagless() {
  static const Tokenizer made = testing::opened(testing::tiny_tokenizer(
      kWords,
      {.special_tokens = {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"}}));
  return made;
}

std::vector<TokenId> ids_of(std::string_view text, const Tokenizer& tokenizer = hadal::tokenizer(),
                            SpecialTokens special = SpecialTokens::parse) {
  return tokenizer.encode(text, special);
}

struct Streamed {
  std::string reasoning, text;  // the deltas joined
  std::vector<Delta> deltas;
  Delta whole;
  bool stopped = false;
  int reasoning_tokens = 0;
};

Streamed stream(const std::vector<TokenId>& ids, const Options& options,
                const Tokenizer& tokenizer = hadal::tokenizer()) {
  AnswerStream answer(tokenizer, options);
  Streamed out;
  for (const TokenId id : ids) out.deltas.push_back(answer.push(id));
  out.deltas.push_back(answer.finish());
  for (const Delta& delta : out.deltas) {
    out.reasoning += delta.reasoning;
    out.text += delta.text;
  }
  out.whole = answer.whole();
  out.stopped = answer.stopped();
  out.reasoning_tokens = answer.reasoning_tokens();
  return out;
}

TEST(AnswerStream, ReasoningAndAnswerArePartedAtTheTag) {
  const Streamed out = stream(ids_of("thinking\n</think>\n\nstop 5€"), {.start = Start::reasoning, .stop = {}});
  EXPECT_EQ(out.reasoning, "thinking");
  EXPECT_EQ(out.text, "stop 5€");
  EXPECT_FALSE(out.stopped);
}

TEST(AnswerStream, ModelThatOpensItsOwnThoughtIsPartedToo) {
  const Streamed out = stream(ids_of("<think>\nthinking</think>END"), {.start = Start::undecided, .stop = {}});
  EXPECT_EQ(out.reasoning, "thinking");
  EXPECT_EQ(out.text, "END");
}

// MODELS.md 10.3: a thought about tags does not end at them.
TEST(AnswerStream, SpelledTagsAreTextWhereTheVocabularyHasThem) {
  std::vector<TokenId> ids = ids_of("thinking of </think> and <think>", tokenizer(), SpecialTokens::plain);
  for (const TokenId id : ids_of("\n</think>\n5")) ids.push_back(id);
  for (const TokenId id : ids_of(" <think>", tokenizer(), SpecialTokens::plain)) ids.push_back(id);
  const Streamed out = stream(ids, {.start = Start::reasoning, .stop = {}});
  EXPECT_EQ(out.reasoning, "thinking of </think> and <think>");
  EXPECT_EQ(out.text, "5 <think>");
  const Streamed answer = stream(ids_of("<think>5", tokenizer(), SpecialTokens::plain), {.start = Start::undecided});
  EXPECT_EQ(answer.text, "<think>5");
}

TEST(AnswerStream, SpelledTagsCountWhereTheVocabularyHasNone) {
  const Streamed out =
      stream(ids_of("thinking\n</think>\n\n5", tagless()), {.start = Start::reasoning, .stop = {}}, tagless());
  EXPECT_EQ(out.reasoning, "thinking");
  EXPECT_EQ(out.text, "5");
}

TEST(AnswerStream, ThoughtThatIsOpenedTwiceIsOne) {
  const Streamed out = stream(ids_of("<think>\nthinking</think>END"), {.start = Start::reasoning, .stop = {}});
  EXPECT_EQ(out.reasoning, "thinking");
  EXPECT_EQ(out.text, "END");
}

TEST(AnswerStream, WithoutTagsAllIsAnswer) {
  const Streamed out = stream(ids_of(" thinking </ think"), {.start = Start::undecided, .stop = {}});
  EXPECT_EQ(out.reasoning, "");
  EXPECT_EQ(out.text, " thinking </ think");
}

TEST(AnswerStream, ThoughtThatNeverEndsHasNoAnswer) {
  const Streamed out = stream(ids_of("thinking </thi"), {.start = Start::reasoning, .stop = {"END"}});
  EXPECT_EQ(out.reasoning, "thinking </thi");
  EXPECT_EQ(out.text, "");
}

TEST(AnswerStream, CountsTheTokensOfTheThoughtWithItsClosingTag) {
  std::vector<TokenId> ids = ids_of("thinking");
  const int thought = static_cast<int>(ids.size());
  for (const TokenId id : ids_of("</think>END stop")) ids.push_back(id);
  EXPECT_EQ(stream(ids, {.start = Start::reasoning, .stop = {}}).reasoning_tokens, thought + 1);
  EXPECT_EQ(stream(ids, {.start = Start::answer, .stop = {}}).reasoning_tokens, 0);
}

TEST(AnswerStream, EndsBeforeAStopStringThatSpansTokens) {
  AnswerStream answer(tokenizer(), {.start = Start::answer, .stop = {"stop 5"}});
  std::string text;
  std::size_t pushed = 0;
  const std::vector<TokenId> ids = ids_of("END stop 5€");
  for (; pushed < ids.size() && !answer.stopped(); ++pushed) text += answer.push(ids[pushed]).text;
  EXPECT_TRUE(answer.stopped());
  EXPECT_GT(ids_of("stop 5").size(), 1u);  // it did span tokens
  EXPECT_LT(pushed, ids.size());           // and was met at once, before the euro's bytes
  EXPECT_EQ(text + answer.finish().text, "END ");
}

TEST(AnswerStream, HoldsBackABeginningOfAStopStringAndGivesItAtTheEnd) {
  AnswerStream answer(tokenizer(), {.start = Start::answer, .stop = {"ENDED"}});
  std::string text;
  for (const TokenId id : ids_of("5 END")) text += answer.push(id).text;
  EXPECT_EQ(text, "5 ");
  EXPECT_EQ(answer.finish().text, "END");
  EXPECT_EQ(answer.whole().text, "5 END");
  EXPECT_FALSE(answer.stopped());
}

TEST(AnswerStream, StopStringsInTheThoughtStopNothing) {
  const Streamed out =
      stream(ids_of("thinking END</think>5 END stop"), {.start = Start::reasoning, .stop = {"stop", "END"}});
  EXPECT_EQ(out.reasoning, "thinking END");
  EXPECT_EQ(out.text, "5 ");
  EXPECT_TRUE(out.stopped);
}

TEST(AnswerStream, ControlTokensAreNoTextUnlessTheyAreAskedFor) {
  const std::vector<TokenId> ids = ids_of("5<｜User｜> END<｜end▁of▁sentence｜>");
  EXPECT_EQ(stream(ids, {}).text, "5 END");
  const Options write{.start = Start::answer, .stop = {}, .control_tokens = Options::ControlTokens::write};
  EXPECT_EQ(stream(ids, write).text, "5<｜User｜> END<｜end▁of▁sentence｜>");
  EXPECT_EQ(stream(ids_of("<think>5</think>"), write).text, "<think>5</think>");
}

TEST(AnswerStream, ADroppedControlTokenDoesNotCutTheCharacterAroundIt) {
  std::vector<TokenId> ids;
  for (const char byte : std::string("€")) {
    for (int id = 0; id < tokenizer().vocab_size(); ++id)
      if (tokenizer().token_bytes(TokenId{id}) == std::string_view(&byte, 1)) ids.push_back(TokenId{id});
    ids.push_back(*tokenizer().find_control("<｜User｜>"));
  }
  ASSERT_EQ(ids.size(), 6u);
  EXPECT_EQ(stream(ids, {}).text, "€");
}

// The same bytes in other tokens: at each place a random one of those that go on there; a tag that is a token stays so.
std::vector<TokenId> cut_at_random(std::string_view text, const Tokenizer& tokenizer, Rng& rng) {
  std::multimap<char, TokenId> by_first_byte;
  for (int id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(TokenId{id});
    if (!bytes.empty() && !tokenizer.is_control(TokenId{id})) by_first_byte.emplace(bytes.front(), TokenId{id});
  }
  std::vector<TokenId> ids;
  while (!text.empty()) {
    std::vector<TokenId> fitting;
    std::string_view run = text;  // up to the next tag that is a token
    for (const char* tag : {"<think>", "</think>"}) {
      const auto id = tokenizer.find_control(tag);
      if (!id) continue;
      if (text.starts_with(tag)) fitting.push_back(*id);
      run = run.substr(0, text.find(tag));
    }
    const auto [first, last] = by_first_byte.equal_range(text.front());
    for (auto it = first; it != last; ++it)
      if (run.starts_with(tokenizer.token_bytes(it->second))) fitting.push_back(it->second);
    ids.push_back(fitting[rng.next_below(fitting.size())]);
    text.remove_prefix(tokenizer.token_bytes(ids.back()).size());
  }
  return ids;
}

void expect_whole_at_every_moment(const Streamed& out, const Options& options) {
  EXPECT_EQ(out.whole.reasoning, out.reasoning);
  EXPECT_EQ(out.whole.text, out.text);
  for (const Delta& delta : out.deltas) {
    EXPECT_EQ(valid_utf8_bytes(delta.text), delta.text.size());
    EXPECT_EQ(valid_utf8_bytes(delta.reasoning), delta.reasoning.size());
  }
  for (const std::string& stop : options.stop) EXPECT_EQ(out.text.find(stop), std::string::npos) << stop;
}

TEST(AnswerStream, HoweverTheBytesAreCutIntoTokensTheSameComesOut) {
  const std::vector<std::string> texts = {
      "<think>\nthinking 5€ </thin\n</think>\n\nstop 深海 END 5€",
      "thinking\n</think>\n\n\nthink</think> </ 深ENDEND\n\n",
      "\n <think>think<think></think>\n5\xE2\x82 END\xF0\x9F\x90",  // ends inside a character, and has half of one
      "5€\xFF深\n\nstop stop 5€ END",
  };
  const std::vector<std::vector<std::string>> stops = {{}, {"END"}, {"stop 5", "深海", "\n\n"}, {"€"}};
  Rng rng(5);
  int different_cuts = 0;
  for (const Tokenizer* tokenizer : {&hadal::tokenizer(), &tagless()})
    for (const std::string& text : texts)
      for (const std::vector<std::string>& stop : stops)
        for (const Start start : {Start::answer, Start::undecided, Start::reasoning}) {
          const Options options{.start = start, .stop = stop};
          const std::vector<TokenId> ids = ids_of(text, *tokenizer);
          const Streamed expected = stream(ids, options, *tokenizer);
          expect_whole_at_every_moment(expected, options);
          for (int trial = 0; trial < 10; ++trial) {
            const std::vector<TokenId> other = cut_at_random(text, *tokenizer, rng);
            const Streamed out = stream(other, options, *tokenizer);
            expect_whole_at_every_moment(out, options);
            EXPECT_EQ(out.reasoning, expected.reasoning) << text;
            EXPECT_EQ(out.text, expected.text) << text;
            EXPECT_EQ(out.stopped, expected.stopped) << text;
            different_cuts += other != ids;
          }
        }
  EXPECT_GT(different_cuts, 500);  // of 960: the cuts really differ
}

}  // namespace
}  // namespace hadal
