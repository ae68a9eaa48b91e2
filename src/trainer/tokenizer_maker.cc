#include "trainer/tokenizer_maker.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/atomic_file.h"
#include "base/file.h"
#include "spec/open_checkpoint.h"
#include "text/bpe_trainer.h"
#include "text/chat_format.h"

namespace hadal {
namespace {

constexpr int kMostPassedOver = 100000;
constexpr std::uint64_t kFileBytes = std::uint64_t{256} << 20;

std::string sample_of(const SourceText& text) {
  if (const auto* document = std::get_if<DocumentText>(&text)) return document->text;
  if (const auto* conversation = std::get_if<ConversationText>(&text)) {
    std::string sample;
    for (const ChatMessage& message : conversation->messages)
      sample += message.reasoning_content + "\n" + message.content + "\n";
    return sample;
  }
  const auto& question = std::get<QuestionText>(text);
  return question.question + "\n" + question.worked.reasoning + "\n\n" + question.worked.answer;
}

}  // namespace

Result<TokenizerFiles> train_tokenizer(const Recipe& recipe, std::span<const std::unique_ptr<DataSource>> sources) {
  BpeTrainerOptions options;
  options.vocab_size = recipe.tokenizer_vocab_size;
  options.chat_template = kDeepSeekR1Template;
  HADAL_ASSIGN(BpeTrainer trainer, BpeTrainer::create(std::move(options)));
  const StageRecipe& stage = recipe.stages.front();
  const auto share = [&](std::size_t i) {
    return sources[i] ? std::max(stage.weights[i], stage.weights_at_end[i]) : 0;
  };
  double shares = 0;
  for (std::size_t i = 0; i < sources.size(); ++i) shares += share(i);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i]) continue;
    const auto wanted =
        static_cast<std::size_t>(share(i) / shares * static_cast<double>(recipe.tokenizer_sample_bytes));
    std::size_t bytes = 0;
    const std::uint64_t size = sources[i]->size();
    int passed_over = 0;
    for (std::uint64_t n = 0; bytes < wanted && (size == 0 || n < size); ++n) {
      HADAL_ASSIGN(const std::optional<SourceText> text, sources[i]->text(n));
      if (!text) {
        if (++passed_over == kMostPassedOver)
          return Error{ErrorKind::invalid,
                       fmt::format("source {}: expected text for the tokenizer, found {} items in a "
                                   "row that are held out or of unknown steps",
                                   sources[i]->name(), kMostPassedOver)};
        continue;
      }
      passed_over = 0;
      const std::string sample = sample_of(*text);
      bytes += sample.size();
      trainer.add(sample);
    }
  }
  HADAL_ASSIGN(TrainedTokenizer trained, trainer.train());
  return TokenizerFiles{std::move(trained.tokenizer_json), std::move(trained.tokenizer_config_json)};
}

Result<TokenizerFiles> read_tokenizer_files(const std::filesystem::path& directory) {
  TokenizerFiles files;
  HADAL_ASSIGN(files.tokenizer_json, read_text_file(directory / "tokenizer.json", kFileBytes));
  HADAL_ASSIGN(files.tokenizer_config_json, read_text_file(directory / "tokenizer_config.json", kFileBytes));
  return files;
}

Status write_tokenizer_files(const std::filesystem::path& directory, const TokenizerFiles& files) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return system_error(directory.string(), "create", error.value());
  HADAL_RETURN_IF_ERROR(write_file_atomically(directory / "tokenizer_config.json", files.tokenizer_config_json));
  return write_file_atomically(directory / "tokenizer.json", files.tokenizer_json);
}

Result<Tokenizer> make_tokenizer(const TokenizerFiles& files) {
  HADAL_ASSIGN(Tokenizer tokenizer, Tokenizer::from_json(files.tokenizer_json, "tokenizer.json"));
  HADAL_RETURN_IF_ERROR(tokenizer.apply_config(files.tokenizer_config_json, "tokenizer_config.json"));
  return tokenizer;
}

Status check_tokens_of(const std::filesystem::path& model, const Tokenizer& tokenizer, std::string_view subject) {
  std::error_code none;
  if (!std::filesystem::exists(model / "tokenizer.json", none)) return Done{};
  HADAL_ASSIGN(const Tokenizer its, Tokenizer::from_directory(model));
  int id = 0;
  const int both = std::min(tokenizer.vocab_size(), its.vocab_size());
  while (id < both && tokenizer.token_bytes(TokenId{id}) == its.token_bytes(TokenId{id})) ++id;
  if (id == tokenizer.vocab_size() && id == its.vocab_size()) return Done{};
  return Error{ErrorKind::invalid,
               fmt::format("{}: tokenizer: expected the one in {}, which start names, found another from "
                           "token {} on",
                           subject, model.string(), id)};
}

Result<int> embedding_rows(const Tokenizer& tokenizer, const std::filesystem::path& model) {
  if (model.empty()) return tokenizer.vocab_size();
  HADAL_ASSIGN(const ModelConfig config, read_checkpoint_config(model));
  if (config.vocab_size >= tokenizer.vocab_size()) return config.vocab_size;
  return Error{ErrorKind::invalid,
               fmt::format("{}: vocab_size: expected at least {}, as the tokenizer has ids, found {}", model.string(),
                           tokenizer.vocab_size(), config.vocab_size)};
}

}  // namespace hadal
