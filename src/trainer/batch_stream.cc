#include "trainer/batch_stream.h"

#include <fmt/format.h>

#include <algorithm>

namespace hadal {
namespace {

constexpr int kMaxPassedOverInARow = 10000;  // then the source holds nothing that fits, and says so

// One example for a question or a conversation, pieces for a part of a document. None: it does not fit. Error: what the
// form or the tokenizer cannot write, such as a tool's message with a tokenizer that has no tokens for it.
Result<std::vector<TrainingExample>> examples_of(const SourceText& text, const Mixture& mixture) {
  if (const auto* document = std::get_if<DocumentText>(&text))
    return mixture.encoder->encode(*document, mixture.sequence_tokens);
  const auto* question = std::get_if<QuestionText>(&text);
  HADAL_ASSIGN(TrainingExample example, question ? mixture.encoder->encode(*question)
                                                 : mixture.encoder->encode(std::get<ConversationText>(text)));
  std::vector<TrainingExample> examples;
  if (example.tokens.size() <= static_cast<std::size_t>(mixture.sequence_tokens))
    examples.push_back(std::move(example));
  return examples;
}

// The next examples of a source. An item that cannot be written is passed over like one that is too long: it must not
// end a run hours after its beginning.
Result<std::vector<TrainingExample>> draw(const Mixture& mixture, std::size_t source, BatchState& state) {
  std::string last;  // why
  for (int tries = 0; tries < kMaxPassedOverInARow; ++tries) {
    HADAL_ASSIGN(const std::optional<SourceText> text, mixture.sources[source]->text(state.drawn[source]++));
    if (text) {
      Result<std::vector<TrainingExample>> examples = examples_of(*text, mixture);
      if (examples.ok() && !examples->empty()) return examples;
      last = examples.ok() ? "too long" : examples.error().message;
    } else {
      last = "held out or of unknown steps";
    }
    ++state.passed_over[source];
  }
  return Error{ErrorKind::invalid,
               fmt::format("source {}: expected examples of at most {} tokens, found none in {} tries (the last: {})",
                           mixture.sources[source]->name(), mixture.sequence_tokens, kMaxPassedOverInARow, last)};
}

}  // namespace

std::string passed_over_by_source(const BatchState& state, std::span<const std::unique_ptr<DataSource>> sources) {
  std::string counts;
  for (std::size_t i = 0; i < state.passed_over.size(); ++i)
    if (state.passed_over[i] > 0)
      counts += fmt::format("{}{} of {}", counts.empty() ? "" : ", ", state.passed_over[i], sources[i]->name());
  return counts;
}

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
  state.drawn.resize(mixture.sources.size(), 0);
  state.unpaid_tokens.resize(mixture.sources.size(), 0.0);
  state.passed_over.resize(mixture.sources.size(), 0);
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
