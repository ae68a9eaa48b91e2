#include "trainer/batch_stream.h"

#include <fmt/format.h>

#include <algorithm>

namespace hadal {
namespace {

constexpr int kMaxPassedOverInARow = 10000;  // then the source holds nothing that fits, and says so

// The next examples of a source: one for a question, its pieces for a part of a document.
Result<std::vector<TrainingExample>> draw(const Mixture& mixture, std::size_t source, BatchState& state) {
  for (int tries = 0; tries < kMaxPassedOverInARow; ++tries) {
    HADAL_ASSIGN(const std::optional<SourceText> text, mixture.sources[source]->text(state.drawn[source]++));
    if (text) {
      if (const auto* document = std::get_if<DocumentText>(&*text)) {
        auto pieces = mixture.encoder->encode(*document, mixture.sequence_tokens);
        if (!pieces.empty()) return pieces;
      } else {
        const auto* question = std::get_if<QuestionText>(&*text);
        HADAL_ASSIGN(TrainingExample example, question ? mixture.encoder->encode(*question)
                                                       : mixture.encoder->encode(std::get<ConversationText>(*text)));
        if (example.tokens.size() <= static_cast<std::size_t>(mixture.sequence_tokens))
          return std::vector<TrainingExample>{std::move(example)};
      }
    }
    ++state.passed_over;
  }
  return Error{ErrorKind::invalid,
               fmt::format("source {}: expected examples whose steps are known and of at most {} tokens, found none in "
                           "{} tries",
                           mixture.sources[source]->name(), mixture.sequence_tokens, kMaxPassedOverInARow)};
}

}  // namespace

void append_example(const TrainingExample& example, TrainOn train_on, TrainingBatch& batch) {
  if (batch.starts.empty()) batch.starts.push_back(0);
  for (std::size_t i = 0; i + 1 < example.tokens.size(); ++i) {
    const TokenPart next = example.parts[i + 1];
    const bool learned = next == TokenPart::answer || (next == TokenPart::prompt && train_on == TrainOn::all);
    batch.tokens.push_back(example.tokens[i]);
    batch.targets.push_back(learned ? index(example.tokens[i + 1]) : -1);
  }
  batch.starts.push_back(static_cast<int>(batch.tokens.size()));
}

Result<TrainingBatch> make_batch(const Mixture& mixture, BatchState& state) {
  TrainingBatch batch;
  std::vector<double> weights(mixture.weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = mixture.weights[i] + state.progress * (mixture.weights_at_end[i] - mixture.weights[i]);
  while (static_cast<int>(batch.tokens.size()) < mixture.batch_tokens) {
    std::size_t source = 0;
    double most = -1e300;
    for (std::size_t i = 0; i < weights.size(); ++i)
      if (weights[i] > 0 && state.unpaid_tokens[i] > most) most = state.unpaid_tokens[source = i];
    HADAL_ASSIGN(const std::vector<TrainingExample> examples, draw(mixture, source, state));
    double tokens = 0;
    for (const TrainingExample& example : examples) {
      append_example(example, mixture.train_on, batch);
      tokens += static_cast<double>(example.tokens.size());
    }
    for (std::size_t i = 0; i < weights.size(); ++i) state.unpaid_tokens[i] += weights[i] * tokens;
    state.unpaid_tokens[source] -= tokens;
  }
  return batch;
}

BatchStream::BatchStream(Mixture mixture, BatchState state) : mixture_(std::move(mixture)), state_(std::move(state)) {
  HADAL_CHECK(state_.drawn.size() <= mixture_.sources.size());
  state_.drawn.resize(mixture_.sources.size(), 0);
  state_.unpaid_tokens.resize(mixture_.sources.size(), 0.0);
  begin();
}

BatchStream::~BatchStream() {
  if (making_.valid()) making_.wait();
}

void BatchStream::begin() {
  making_ = std::async(std::launch::async, [this, state = state_]() mutable {
    Result<TrainingBatch> batch = make_batch(mixture_, state);
    return Made{std::move(batch), std::move(state)};
  });
}

Result<TrainingBatch> BatchStream::next(double progress) {
  Made made = making_.get();
  state_ = std::move(made.after);
  state_.progress = progress;
  if (made.batch.ok()) begin();
  return std::move(made.batch);
}

}  // namespace hadal
