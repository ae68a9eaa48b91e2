#include "trainer/reinforcement/rollout.h"

#include <algorithm>
#include <map>

namespace hadal {
namespace {

WeightSource weights_of(const TrainingModel& model) {
  WeightSource source;
  source.read = [&model](const TensorSpec& tensor, std::int64_t first_row, std::int64_t rows, float* out) -> Status {
    const std::int64_t width = tensor.elements() / tensor.shape[0];
    model.copy_rows(tensor, first_row, std::span(out, static_cast<std::size_t>(rows * width)));
    return Done{};
  };
  return source;
}

Rollout rollout_of(const Sequence& sequence) {
  return {.tokens = sequence.tokens,
          .prompt_tokens = sequence.prompt_tokens,
          .log_probabilities = sequence.log_probabilities,
          .kept = sequence.kept,
          .kept_ends = sequence.kept_ends,
          .routes = sequence.routes};
}

}  // namespace

Result<std::unique_ptr<RolloutEngine>> RolloutEngine::create(TrainingModel& model, const Compute& compute,
                                                             int sequences, int context_tokens) {
  auto rollouts = std::make_unique<RolloutEngine>();
  HADAL_ASSIGN(rollouts->transformer_, Transformer::load(model.config(), weights_of(model), compute));
  rollouts->forward_ = std::make_unique<TransformerModel>(*rollouts->transformer_);
  const EngineLimits limits{.max_sequences = sequences,
                            .batch_tokens = 512,
                            .context_tokens = context_tokens,
                            .pages = sequences * (pages_for(context_tokens) + 1)};  // one is kept free for each
  HADAL_ASSIGN(rollouts->engine_, Engine::create(*rollouts->forward_, limits));
  return rollouts;
}

Result<std::vector<Rollout>> RolloutEngine::run(std::span<const RolloutRequest> requests, TokenId end,
                                                const CancelFlag* cancel) {
  std::vector<Rollout> rollouts(requests.size());
  std::map<SequenceId, std::size_t> waited_for;
  std::optional<Error> error;
  int group = 0;
  for (std::size_t i = 0; i < requests.size() && !error; ++i) {
    const RolloutRequest& request = requests[i];
    if (i == 0 || !std::ranges::equal(request.prompt, requests[i - 1].prompt)) ++group;
    const Result<SequenceId> id = engine_->add({.prompt = {request.prompt.begin(), request.prompt.end()},
                                                .sampling = request.sampling,
                                                .max_tokens = request.max_tokens,
                                                .stop_tokens = {end},
                                                .trace = request.trace,
                                                .group = group});
    if (id.ok())
      waited_for[*id] = i;
    else
      error = id.error();
  }
  while (!waited_for.empty() && !error) {
    for (const StepOutput& output : engine_->step()) {
      if (output.finish == Finish::none) continue;
      Rollout& rollout = rollouts[waited_for[output.id]];
      waited_for.erase(output.id);
      if (output.finish == Finish::failed)
        error = Error{ErrorKind::invalid,
                      "rollout: expected logits that are numbers, found none: the weights have diverged"};
      rollout = rollout_of(*output.sequence);
      rollout.ended = output.finish == Finish::stop;
    }
    if (cancel != nullptr && cancel->requested()) error = Error{ErrorKind::cancelled, "rollout: stopped"};
  }
  for (const auto& [id, i] : waited_for) engine_->abort(id);
  if (error) return *error;
  return rollouts;
}

bool same_prompt(const Rollout& a, const Rollout& b) {
  return a.prompt_tokens == b.prompt_tokens &&
         std::equal(a.tokens.begin(), a.tokens.begin() + a.prompt_tokens, b.tokens.begin());
}

std::size_t rows_of_prompt(const Rollout& rollout) {
  return static_cast<std::size_t>(rollout.prompt_tokens) - 1;
}

void append_rollout(const Rollout& rollout, const Rollout* before, const RouteShape& shape, bool replay_routes,
                    bool replay_mask, TrainingBatch& batch) {
  if (batch.starts.empty()) batch.starts.push_back(0);
  const std::size_t rows = rollout.tokens.size() - 1, prompt = rows_of_prompt(rollout),
                    per_token = static_cast<std::size_t>(shape.per_token());
  HADAL_CHECK(!replay_routes || rollout.routes.size() == rows * per_token);
  replay_mask = replay_mask && !rollout.kept.empty();
  const auto append_sequence = [&](std::size_t begin, std::size_t end, int prefix) {
    for (std::size_t t = begin; t < end; ++t) {
      batch.tokens.push_back(rollout.tokens[t]);
      batch.targets.push_back(t >= prompt ? index(rollout.tokens[t + 1]) : -1);
      if (!replay_mask) continue;
      if (t >= prompt) {
        const std::size_t i = t - prompt, first = i == 0 ? 0 : rollout.kept_ends[i - 1];
        batch.kept.insert(batch.kept.end(), rollout.kept.begin() + static_cast<std::ptrdiff_t>(first),
                          rollout.kept.begin() + static_cast<std::ptrdiff_t>(rollout.kept_ends[i]));
      }
      batch.kept_ends.push_back(batch.kept.size());
    }
    if (replay_routes) {
      const auto routes = std::span(rollout.routes).subspan(begin * per_token, (end - begin) * per_token);
      batch.routes.insert(batch.routes.end(), routes.begin(), routes.end());
    }
    batch.starts.push_back(static_cast<int>(batch.tokens.size()));
    batch.prefixes.push_back(prefix);
  };
  int prefix = -1;
  if (before != nullptr && same_prompt(rollout, *before)) {
    prefix = batch.prefixes.back();
  } else if (prompt > 0) {
    append_sequence(0, prompt, -1);
    prefix = static_cast<int>(batch.prefixes.size()) - 1;
  }
  append_sequence(prompt, rows, prefix);
}

void finish_routes(const RouteShape& shape, TrainingBatch& batch) {
  if (batch.routes.empty()) return;
  const std::size_t rows = batch.tokens.size(), layers = static_cast<std::size_t>(shape.moe_layers),
                    chosen = static_cast<std::size_t>(shape.chosen);
  std::vector<ExpertId> by_layer(batch.routes.size());
  for (std::size_t t = 0; t < rows; ++t)
    for (std::size_t layer = 0; layer < layers; ++layer)
      std::copy_n(batch.routes.begin() + static_cast<std::ptrdiff_t>((t * layers + layer) * chosen), chosen,
                  by_layer.begin() + static_cast<std::ptrdiff_t>((layer * rows + t) * chosen));
  batch.routes = std::move(by_layer);
}

}  // namespace hadal
