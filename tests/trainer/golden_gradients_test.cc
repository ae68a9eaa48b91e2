// Every gradient of the hand-written backward pass against independent autograd
// (goldens/models: torch in float64), for each variant of the architecture.
#include "model/golden_model.h"
#include "trainer/gradient_file.h"
#include "trainer/training_model.h"

namespace hadal::testing {
namespace {

constexpr double kBound = 1e-4;  // measured in exact arithmetic: at most 1e-5, the routers' norms last

std::unique_ptr<TrainingModel> load_for_training(const GoldenModel& m, const Compute& compute) {
  auto model = TrainingModel::create(m.config, compute);
  EXPECT_TRUE(model.ok()) << (model.ok() ? "" : model.error().message);
  for (const ParameterSlot& slot : (*model)->slots()) {
    const Status read = read_rows_f32(*m.weights, slot.tensor, m.config, 0, slot.tensor.shape[0],
                                      (*model)->parameters().data() + slot.offset);
    EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.error().message);
  }
  (*model)->parameters_changed();
  return std::move(model).value();
}

TrainingBatch next_token_batch(const GoldenModel& m) {
  TrainingBatch batch;
  batch.tokens = m.tokens();
  for (std::size_t t = 1; t < batch.tokens.size(); ++t) batch.targets.push_back(index(batch.tokens[t]));
  batch.targets.push_back(-1);
  batch.starts = {0, static_cast<int>(batch.tokens.size())};
  return batch;
}

// Mean over the rows of `logits` [.., V] that have a token `ahead` of them.
double cross_entropy(const std::vector<float>& logits, std::size_t vocab, const std::vector<TokenId>& tokens,
                     std::size_t ahead) {
  const std::size_t rows = tokens.size() - ahead;
  double loss = 0;
  for (std::size_t t = 0; t < rows; ++t) {
    double sum = 0;
    for (std::size_t v = 0; v < vocab; ++v) sum += std::exp(static_cast<double>(logits[t * vocab + v]));
    loss += std::log(sum) - static_cast<double>(logits[t * vocab + static_cast<std::size_t>(index(tokens[t + ahead]))]);
  }
  return loss / static_cast<double>(rows);
}

class GoldenGradients : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenGradients, OfEveryTensorAreReproduced) {
  GoldenModel m = open_golden(GetParam());
  m.config.num_nextn_predict_layers = 0;  // the golden is of the main model's loss alone
  auto golden = Safetensors::open(m.directory + "/golden_gradients.safetensors");
  ASSERT_TRUE(golden.ok());
  ThreadPool pool(2);
  const auto model = load_for_training(m, make_compute(pool, Arithmetic::exact));
  model->forward_backward(next_token_batch(m), {});
  std::size_t compared = 0;
  for (const ParameterSlot& slot : model->slots()) {
    if (!slot.trained) continue;
    const auto want = golden->find(slot.tensor.name);
    ASSERT_TRUE(want.has_value()) << slot.tensor.name;
    const float* d = model->gradients().data() + slot.offset;
    EXPECT_LE(distance(std::vector<float>(d, d + slot.tensor.elements()), floats_of(*want)), kBound)
        << slot.tensor.name;
    ++compared;
  }
  EXPECT_EQ(compared, golden->names().size());
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenGradients,
                         ::testing::Values("v2_lite", "v2", "v3", "moonlight", "qwen2", "llama_tied"),
                         [](const auto& named) { return std::string(named.param); });

// Three answers to one beginning, and one to another: each whole, or what they have in common once.
TrainingBatch answers_batch(const std::vector<TokenId>& tokens, bool shared) {
  TrainingBatch batch;
  batch.starts.push_back(0);
  const auto append = [&](std::size_t begin, std::size_t end, bool targets, int prefix) {
    for (std::size_t t = begin; t < end; ++t) {
      batch.tokens.push_back(tokens[t]);
      batch.targets.push_back(targets ? index(tokens[t + 1]) : -1);
    }
    if (prefix == -2) return;  // more of the same sequence follows
    batch.starts.push_back(static_cast<int>(batch.tokens.size()));
    batch.prefixes.push_back(prefix);
  };
  struct Answer {
    std::size_t begin, end, first, last;  // of the beginning and of the answer, in `tokens`
    bool another;                         // beginning than the answer before
  };
  int prefix = -1;
  for (const Answer& x : {Answer{0, 12, 12, 16, true}, Answer{0, 12, 14, 17, false}, Answer{0, 12, 13, 20, false},
                          Answer{5, 9, 15, 19, true}}) {
    if (!shared) {
      append(x.begin, x.end, false, -2);
      append(x.first, x.last, true, -1);
      continue;
    }
    if (x.another) {
      append(x.begin, x.end, false, -1);
      prefix = static_cast<int>(batch.prefixes.size()) - 1;
    }
    append(x.first, x.last, true, prefix);
  }
  if (!shared) batch.prefixes.clear();
  return batch;
}

class SharedBeginnings : public ::testing::TestWithParam<const char*> {};

// Measured: at most 3e-7 of the loss and 2e-6 of a gradient. A beginning whose gradients are taken from the last answer
// alone, or one position off, is far outside.
TEST_P(SharedBeginnings, ChangeNeitherLossNorGradients) {
  GoldenModel m = open_golden(GetParam());
  m.config.num_nextn_predict_layers = 0;
  ThreadPool pool(2);
  const auto model = load_for_training(m, make_compute(pool, Arithmetic::exact));
  const auto run = [&](bool shared) {
    std::fill(model->gradients().begin(), model->gradients().end(), 0.0f);
    const TrainingBatch batch = answers_batch(m.tokens(), shared);
    return std::pair{model->forward_backward(batch, {}).loss, batch.tokens.size()};
  };
  const auto [loss, rows] = run(false);
  const std::vector<float> gradients(model->gradients().begin(), model->gradients().end());
  const auto [shared_loss, shared_rows] = run(true);
  EXPECT_EQ(shared_rows, rows - 24);
  EXPECT_NEAR(shared_loss, loss, 1e-5);
  for (const ParameterSlot& slot : model->slots()) {
    if (!slot.trained) continue;
    const auto first = slot.offset, last = slot.offset + slot.tensor.elements();
    const std::vector<float> want(gradients.begin() + first, gradients.begin() + last),
        got(model->gradients().begin() + first, model->gradients().begin() + last);
    if (std::all_of(want.begin(), want.end(), [](float g) { return g == 0; })) continue;  // an expert nobody took
    EXPECT_LE(distance(got, want), 1e-5) << slot.tensor.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SharedBeginnings, ::testing::Values("v2_lite", "v3", "qwen2", "llama_tied"),
                         [](const auto& named) { return std::string(named.param); });

// Weights in blocks, of a GGUF file whose rotation pairs neighbours: the loss of the golden's logits, and gradients.
TEST(GgufGradients, LossIsThatOfTheGoldenLogits) {
  const std::filesystem::path folder = std::filesystem::path(HADAL_GOLDENS) / "gguf/llama3_q4_0",
                              out = std::filesystem::temp_directory_path() / "hadal_gguf_gradients.safetensors";
  auto golden = Safetensors::open(folder / "golden.safetensors");
  ASSERT_TRUE(golden.ok());
  const auto tokens = read_tokens_file(folder / "golden.safetensors");
  ASSERT_TRUE(tokens.ok());
  ThreadPool pool(2);
  const auto loss = write_gradients(folder / "llama3_q4_0.gguf", *tokens, pool, out);
  ASSERT_TRUE(loss.ok()) << loss.error().message;
  const auto logits = golden->find("logits");
  const auto vocab = static_cast<std::size_t>(logits->shape.back());
  EXPECT_NEAR(*loss, cross_entropy(floats_of(*logits), vocab, *tokens, 1), 1e-5);
  std::filesystem::remove(out);
}

// The multi-token-prediction layer: its loss follows from the golden's logits (row t predicts token t + 2).
TEST(MtpLoss, EqualsTheCrossEntropyOfTheGoldenLogits) {
  const GoldenModel m = open_golden("v3");
  auto golden = Safetensors::open(m.directory + "/golden_mtp.safetensors");
  ASSERT_TRUE(golden.ok());
  const double expected = cross_entropy(floats_of(*golden->find("mtp_logits.after_final_norm")),
                                        static_cast<std::size_t>(m.config.vocab_size), m.tokens(), 2);
  ThreadPool pool(2);
  const auto model = load_for_training(m, make_compute(pool, Arithmetic::exact));
  const StepResult result =
      model->forward_backward(next_token_batch(m), {.sequence_balance_alpha = 0, .mtp_weight = 0.3});
  EXPECT_NEAR(result.mtp_loss, expected, 1e-4);
}

// Central differences of loss + 0.3 * MTP loss + balance loss along the gradient's own direction, tensor by tensor.
// Measured in float32: at most 6e-3 relative; a forgotten factor of 0.3 or a lost path is off by 0.1 or more.
TEST(MtpLoss, GradientsAgreeWithFiniteDifferences) {
  const GoldenModel m = open_golden("v3");
  ThreadPool pool(2);
  const auto model = load_for_training(m, make_compute(pool, Arithmetic::exact));
  const TrainingBatch batch = next_token_batch(m);
  const TrainingLosses losses{.sequence_balance_alpha = 0.5, .mtp_weight = 0.3};
  const auto total = [&] {
    model->parameters_changed();
    const StepResult r = model->forward_backward(batch, losses);
    return r.loss + losses.mtp_weight * r.mtp_loss + r.balance_loss;
  };
  total();
  const std::vector<float> gradient(model->gradients().begin(), model->gradients().end());
  for (const ParameterSlot& slot : model->slots()) {
    const bool wanted = slot.tensor.role == TensorRole::mtp_eh_proj || slot.tensor.role == TensorRole::mtp_hnorm ||
                        slot.tensor.role == TensorRole::mtp_enorm || slot.tensor.role == TensorRole::embed_tokens ||
                        slot.tensor.role == TensorRole::mtp_shared_head_norm ||
                        (slot.tensor.layer == m.config.num_hidden_layers && slot.tensor.role == TensorRole::o_proj) ||
                        slot.tensor.role == TensorRole::final_norm;
    if (!wanted) continue;
    const auto first = static_cast<std::size_t>(slot.offset), n = static_cast<std::size_t>(slot.tensor.elements());
    double norm = 0;
    for (std::size_t i = 0; i < n; ++i)
      norm += static_cast<double>(gradient[first + i]) * static_cast<double>(gradient[first + i]);
    norm = std::sqrt(norm);
    ASSERT_GT(norm, 0) << slot.tensor.name;
    const std::vector<float> kept(model->parameters().begin() + slot.offset,
                                  model->parameters().begin() + slot.offset + slot.tensor.elements());
    const double step = 5e-4;  // small enough that no token changes its experts
    double at[2];
    for (int side = 0; side < 2; ++side) {
      for (std::size_t i = 0; i < n; ++i)
        model->parameters()[first + i] =
            kept[i] + static_cast<float>((side ? -step : step) * static_cast<double>(gradient[first + i]) / norm);
      at[side] = total();
    }
    std::copy(kept.begin(), kept.end(), model->parameters().begin() + slot.offset);
    EXPECT_NEAR((at[0] - at[1]) / (2 * step) / norm, 1.0, 0.03) << slot.tensor.name;
  }
}

}  // namespace
}  // namespace hadal::testing
