// The balance loss that a training step adds, of several sequences at once, against its oracle
// (kernels/ref/balance_loss.h) on numbers of independent code (goldens/models: float64).
//
// Attention looks back only: what a golden says of its first n tokens holds for a sequence of those n alone. So a batch
// of beginnings of one golden, of different lengths, is known throughout.
#include <algorithm>
#include <functional>
#include <numeric>

#include "kernels/numbers.h"
#include "kernels/ref/balance_loss.h"
#include "kernels/ref/matmul.h"
#include "kernels/ref/rms_norm.h"
#include "model/golden_model.h"
#include "trainer/training_model.h"
#include "trainer/training_state.h"

namespace hadal::testing {
namespace {

using Values = std::vector<double>;

constexpr int kLengths[] = {7, 60, 1, 33};
constexpr double kSequences = std::size(kLengths), kRows = 7 + 60 + 1 + 33;
constexpr double kAlpha = 0.4;

ref::RouterConfig router_config(const ModelConfig& c) {
  ref::RouterConfig r{};
  r.n_routed_experts = c.n_routed_experts;
  r.num_experts_per_tok = c.num_experts_per_tok;
  r.n_group = c.n_group;
  r.topk_group = c.topk_group;
  r.scoring_func = c.scoring_func == ScoringFunc::softmax ? ref::ScoringFunc::softmax : ref::ScoringFunc::sigmoid;
  r.topk_method = c.topk_method == TopkMethod::noaux_tc               ? ref::TopkMethod::noaux_tc
                  : c.topk_method == TopkMethod::group_limited_greedy ? ref::TopkMethod::group_limited_greedy
                                                                      : ref::TopkMethod::greedy;
  return r;
}

// A golden model in training, and what is known of its routers.
class KnownModel {
 public:
  explicit KnownModel(const std::string& name) : golden_(open_golden(name)), router_(router_config(golden_.config)) {
    training_ = TrainingModel::create(golden_.config, make_compute(pool_, Arithmetic::exact)).value();
    const Status loaded = load_parameters(golden_.directory, *training_);
    EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().message);
  }

  TrainingModel& training() { return *training_; }
  const GoldenModel& golden() const { return golden_; }
  const ModelConfig& config() const { return golden_.config; }
  const ref::RouterConfig& router() const { return router_; }
  ref::BalanceShape shape(int tokens) const { return {tokens, router_.n_routed_experts, router_.num_experts_per_tok}; }

  // The part of parameters() or gradients() that is of one tensor.
  std::span<float> part(std::span<float> all, int layer, TensorRole role) const {
    const auto slot = std::find_if(training_->slots().begin(), training_->slots().end(), [&](const ParameterSlot& s) {
      return s.tensor.layer == layer && s.tensor.role == role;
    });
    return all.subspan(static_cast<std::size_t>(slot->offset), static_cast<std::size_t>(slot->tensor.elements()));
  }
  Values parameters(int layer, TensorRole role) const {
    const std::span<float> values = part(training_->parameters(), layer, role);
    return {values.begin(), values.end()};
  }

  Values scores(const Values& logits_TE) const {
    Values scores_TE(logits_TE.size());
    const auto E = static_cast<std::size_t>(router_.n_routed_experts);
    for (std::size_t at = 0; at < logits_TE.size(); at += E)
      ref::router_scores(router_, logits_TE.data() + at, scores_TE.data() + at);
    return scores_TE;
  }

 private:
  GoldenModel golden_;
  ref::RouterConfig router_;
  ThreadPool pool_{2};
  std::unique_ptr<TrainingModel> training_;
};

// For each length a sequence of so many tokens, the golden's first.
TrainingBatch batch_of(const KnownModel& known, std::span<const int> lengths) {
  const std::vector<TokenId> tokens = known.golden().tokens();
  TrainingBatch batch;
  batch.starts = {0};
  for (const int n : lengths) {
    const auto rows = static_cast<std::size_t>(n);
    for (std::size_t t = 0; t < rows; ++t) {
      batch.tokens.push_back(tokens[t]);
      batch.targets.push_back(t + 1 < rows ? index(tokens[t + 1]) : -1);
    }
    batch.starts.push_back(static_cast<int>(batch.tokens.size()));
  }
  return batch;
}

// --- its value -------------------------------------------------------------------------------------------------------

constexpr double kValueBound = 1e-6;  // relative; measured: at most 2.7e-8

struct RoutedSequence {
  int layer;
  ref::BalanceShape shape;
  const double* scores_TE;
};

// Over layers and sequences of the batch.
double added_up(const KnownModel& known, const std::function<double(const RoutedSequence&)>& of_sequence) {
  double sum = 0;
  for (int layer = 0; layer < known.config().num_hidden_layers; ++layer) {
    if (!known.config().is_moe_layer(layer)) continue;
    const auto logits_TE = known.golden().floats("router_logits." + std::to_string(layer));
    const Values scores_TE = known.scores(converted<double>(logits_TE));
    for (const int n : kLengths) sum += of_sequence({layer, known.shape(n), scores_TE.data()});
  }
  return sum;
}

double oracle(const RoutedSequence& s) {
  return ref::balance_loss(s.shape, kAlpha, s.scores_TE) / kSequences;
}

class BalanceLoss : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, BalanceLoss, ::testing::Values("v2_lite", "v2", "v3", "moonlight"),
                         [](const auto& named) { return std::string(named.param); });

TEST_P(BalanceLoss, IsTheMeanOfTheOracleOverSequences) {
  KnownModel known(GetParam());
  const StepResult found =
      known.training().forward_backward(batch_of(known, kLengths), {.sequence_balance_alpha = kAlpha});
  const double expected = added_up(known, oracle);
  EXPECT_NEAR(found.balance_loss, expected, kValueBound * expected);
}

// With f counted over the experts that tokens take, which groups and a bias steer, and not over their best scores.
double of_experts_taken(const KnownModel& known, const RoutedSequence& s) {
  const auto [T, E, K] = s.shape;
  const Values bias_E = known.parameters(s.layer, TensorRole::router_bias);
  Values share_E(static_cast<std::size_t>(E), 0);
  double loss = 0;
  for (std::ptrdiff_t t = 0; t < T; ++t)
    for (const std::int32_t e : ref::router_choice(known.router(), s.scores_TE + t * E, bias_E.data()))
      share_E[static_cast<std::size_t>(e)] += static_cast<double>(E) / static_cast<double>(K * T);
  for (std::ptrdiff_t t = 0; t < T; ++t) {
    const double* scores = s.scores_TE + t * E;
    const double sum = std::accumulate(scores, scores + E, 0.0);
    loss += kAlpha * std::inner_product(scores, scores + E, share_E.begin(), 0.0) / sum / static_cast<double>(T);
  }
  return loss / kSequences;
}

// Measured: 3.1e-2 (experts taken), all others at least 1.2e-1.
TEST(BalanceLossBound, CatchesOtherSharesAndOtherMeans) {
  const KnownModel known("v3");
  const auto rows = [](const RoutedSequence& s) { return static_cast<double>(s.shape.T); };
  const std::pair<const char*, std::function<double(const RoutedSequence&)>> mistakes[] = {
      {"f without K", [&](const auto& s) { return static_cast<double>(s.shape.K) * oracle(s); }},
      {"f by the rows of the batch", [&](const auto& s) { return rows(s) / kRows * oracle(s); }},
      {"f of experts taken", [&](const auto& s) { return of_experts_taken(known, s); }},
      {"mean over rows", [&](const auto& s) { return kSequences * rows(s) / kRows * oracle(s); }},
      {"sum over sequences", [&](const auto& s) { return kSequences * oracle(s); }},
  };
  const double right = added_up(known, oracle);
  for (const auto& [name, of_sequence] : mistakes)
    EXPECT_GT(std::abs(added_up(known, of_sequence) - right), 1000 * kValueBound * right) << name;
}

// The multi-token-prediction layer sees a sequence without its last token, and no sequence of one token.
TEST(MtpLayer, SeesEachSequenceOfABatchAsIfItWereAlone) {
  KnownModel known("v3");
  struct OfLayer {
    double balance, loss;
  };
  const auto of_layer = [&](std::span<const int> lengths) -> OfLayer {
    const auto step = [&](double mtp_weight) {
      return known.training().forward_backward(batch_of(known, lengths),
                                               {.sequence_balance_alpha = kAlpha, .mtp_weight = mtp_weight});
    };
    EXPECT_EQ(step(0.3).balance_loss, step(0.7).balance_loss);  // it is no part of what lambda weighs
    return {step(0.3).balance_loss - step(0).balance_loss, step(0.3).mtp_loss};
  };
  double balance = 0, loss = 0;  // means over 3 sequences, and over the rows that have a token two ahead of them
  for (const int n : kLengths) {
    const OfLayer alone = of_layer({&n, 1});
    if (n == 1) EXPECT_EQ(alone.balance + alone.loss, 0);
    balance += alone.balance / (kSequences - 1);
    if (n > 1) loss += alone.loss * (n - 2) / (kRows - 1 - 2 * (kSequences - 1));
  }
  const OfLayer together = of_layer(kLengths);
  EXPECT_NEAR(together.balance, balance, 1e-12);  // measured: 2e-16, and 0 of the loss
  EXPECT_NEAR(together.loss, loss, 1e-12);
  EXPECT_GT(balance / kSequences, 0.1);  // a mean over 4 sequences would be off by that
}

// --- its gradient ----------------------------------------------------------------------------------------------------

constexpr double kGradientBound = 1e-5;  // measured: at most 1.9e-6; the mildest mistake below, 6.7e-1

struct RouterGradients {
  std::vector<float> router_ED, norm_D;
};

// d_scores [T, E] of the batch += by its scores.
using ScoresBackward = std::function<void(const KnownModel&, const double* scores_TE, double* d_scores_TE)>;

// Of the last layer's router and the norm before it, where that layer's attention adds nothing: there the norm is taken
// of what, as the golden says, comes into the layer.
RouterGradients expected_gradients(const KnownModel& known, const ScoresBackward& scores_backward) {
  const int layer = known.config().num_hidden_layers - 1;
  const std::ptrdiff_t D = known.config().hidden_size, E = known.router().n_routed_experts,
                       T = static_cast<std::ptrdiff_t>(kRows);
  const double eps = known.config().rms_norm_eps;
  const Values hidden_LTD = converted<double>(known.golden().floats("hidden")),
               norm_weight_D = known.parameters(layer, TensorRole::post_attention_layernorm),
               router_ED = known.parameters(layer, TensorRole::router);
  const auto input = hidden_LTD.begin() + layer * static_cast<std::ptrdiff_t>(known.golden().tokens().size()) * D;
  Values x_TD, norm_TD(static_cast<std::size_t>(T * D)), logits_TE(static_cast<std::size_t>(T * E));
  for (const int n : kLengths) x_TD.insert(x_TD.end(), input, input + n * D);
  ref::rms_norm({T, D}, x_TD.data(), norm_weight_D.data(), eps, norm_TD.data());
  ref::matmul({T, E, D}, norm_TD.data(), router_ED.data(), logits_TE.data());

  const Values scores_TE = known.scores(logits_TE);
  Values d_scores_TE(scores_TE.size(), 0), d_logits_TE(scores_TE.size(), 0), d_norm_TD(norm_TD.size(), 0);
  Values d_router_ED(router_ED.size(), 0), d_norm_weight_D(norm_weight_D.size(), 0);
  scores_backward(known, scores_TE.data(), d_scores_TE.data());
  for (std::ptrdiff_t at = 0; at < T * E; at += E)
    ref::router_scores_backward(known.router(), scores_TE.data() + at, d_scores_TE.data() + at,
                                d_logits_TE.data() + at);
  ref::matmul_backward({T, E, D}, norm_TD.data(), router_ED.data(), d_logits_TE.data(), d_norm_TD.data(),
                       d_router_ED.data());
  ref::rms_norm_backward<double>({T, D}, x_TD.data(), norm_weight_D.data(), d_norm_TD.data(), eps, nullptr,
                                 d_norm_weight_D.data());
  return {converted<float>(d_router_ED), converted<float>(d_norm_weight_D)};
}

// What the loss adds to a step's gradients.
RouterGradients added_gradients(KnownModel& known) {
  const int layer = known.config().num_hidden_layers - 1;
  const TrainingBatch batch = batch_of(known, kLengths);
  RouterGradients of_alpha[2];
  for (const double alpha : {0.0, kAlpha}) {
    const std::span<float> gradients = known.training().gradients();
    std::fill(gradients.begin(), gradients.end(), 0.0f);
    known.training().forward_backward(batch, {.sequence_balance_alpha = alpha});
    const auto router = known.part(gradients, layer, TensorRole::router),
               norm = known.part(gradients, layer, TensorRole::post_attention_layernorm);
    of_alpha[alpha > 0] = {{router.begin(), router.end()}, {norm.begin(), norm.end()}};
  }
  RouterGradients added = of_alpha[1];
  for (std::size_t i = 0; i < added.router_ED.size(); ++i) added.router_ED[i] -= of_alpha[0].router_ED[i];
  for (std::size_t i = 0; i < added.norm_D.size(); ++i) added.norm_D[i] -= of_alpha[0].norm_D[i];
  return added;
}

// The oracle for each sequence, times `factor` of its rows.
ScoresBackward oracle_backward(const std::function<double(const KnownModel&, int rows)>& factor) {
  return [factor](const KnownModel& known, const double* scores_TE, double* d_scores_TE) {
    for (const int n : kLengths) {
      const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(n) * known.router().n_routed_experts;
      ref::balance_loss_backward(known.shape(n), kAlpha * factor(known, n) / kSequences, scores_TE, d_scores_TE);
      scores_TE += size;
      d_scores_TE += size;
    }
  };
}

void drop_attention_of_last_layer(KnownModel& known) {
  const std::span<float> o_proj =
      known.part(known.training().parameters(), known.config().num_hidden_layers - 1, TensorRole::o_proj);
  std::fill(o_proj.begin(), o_proj.end(), 0.0f);
  known.training().parameters_changed();
}

TEST_P(BalanceLoss, HasTheGradientOfTheOracle) {
  KnownModel known(GetParam());
  drop_attention_of_last_layer(known);
  const RouterGradients found = added_gradients(known),
                        expected = expected_gradients(known, oracle_backward([](auto&, int) { return 1.0; }));
  EXPECT_LE(difference(found.router_ED, expected.router_ED), kGradientBound);
  EXPECT_LE(difference(found.norm_D, expected.norm_D), kGradientBound);
  const std::pair<const char*, ScoresBackward> mistakes[] = {
      {"f without K", oracle_backward([](const KnownModel& k, int) { return k.router().num_experts_per_tok; })},
      {"f by the rows of the batch", oracle_backward([](auto&, int rows) { return rows / kRows; })},
      {"mean over rows", oracle_backward([](auto&, int rows) { return kSequences * rows / kRows; })},
      {"the batch as one sequence",
       [](const KnownModel& k, const double* scores_TE, double* d_scores_TE) {
         ref::balance_loss_backward(k.shape(static_cast<int>(kRows)), kAlpha, scores_TE, d_scores_TE);
       }},
  };
  for (const auto& [name, scores_backward] : mistakes) {
    const RouterGradients wrong = expected_gradients(known, scores_backward);
    EXPECT_GT(difference(found.router_ED, wrong.router_ED), 1000 * kGradientBound) << name;
    EXPECT_GT(difference(found.norm_D, wrong.norm_D), 1000 * kGradientBound) << name;
  }
}

}  // namespace
}  // namespace hadal::testing
