// A tiny model of one routed layer, and answers that an engine draws from it, in exact arithmetic.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <vector>

#include "base/rng.h"
#include "base/thread_pool.h"
#include "tiny.h"
#include "trainer/initialise.h"
#include "trainer/reinforcement/rollout.h"

namespace hadal {

struct TinyPolicy {
  ThreadPool pool{2};
  Compute compute = make_compute(pool, Arithmetic::exact);
  std::unique_ptr<TrainingModel> model = new_model();
  RouteShape shape{.moe_layers = 1, .chosen = 2};

  TinyPolicy() {
    initialise(model->slots(), 3, 0.3, pool, model->parameters());
    model->parameters_changed();
  }

  std::unique_ptr<TrainingModel> new_model() const {  // its parameters are zero
    const TokenizerFacts facts{tiny_data().encoder->tokenizer().vocab_size(), tiny_data().encoder->bos(),
                               tiny_data().encoder->eos()};
    return std::move(TrainingModel::create(*recipe_model_config(tiny_data().recipe, facts), compute)).value();
  }

  // Random prompts, the same in each call.
  static std::vector<std::vector<TokenId>> prompts(std::span<const int> lengths) {
    std::vector<std::vector<TokenId>> prompts;
    Rng rng(4);
    for (const int length : lengths) {
      prompts.emplace_back();
      for (int i = 0; i < length; ++i)
        prompts.back().push_back(TokenId{static_cast<std::int32_t>(rng.next_below(400))});
    }
    return prompts;
  }

  // One answer a request.
  std::vector<Rollout> answers(std::span<const RolloutRequest> requests) {
    auto engine = RolloutEngine::create(*model, compute, 3, 100);
    EXPECT_TRUE(engine.ok());
    auto run = (*engine)->run(requests, tiny_data().encoder->eos(), nullptr);
    EXPECT_TRUE(run.ok());
    return std::move(run).value();
  }
};

}  // namespace hadal
