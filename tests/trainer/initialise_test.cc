// First values: spread as asked, norms one, biases zero, each tensor from a stream of its own name.
#include "trainer/initialise.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hadal {
namespace {

ParameterSlot slot(std::string name, TensorRole role, std::vector<std::int64_t> shape, std::int64_t offset) {
  TensorSpec tensor;
  tensor.name = std::move(name);
  tensor.role = role;
  tensor.shape = std::move(shape);
  return {std::move(tensor), offset, role != TensorRole::router_bias};
}

TEST(Initialise, MatricesAreNormalNormsOneBiasesZero) {
  const std::vector<ParameterSlot> slots{
      slot("w", TensorRole::q_proj, {100, 200}, 0), slot("n", TensorRole::final_norm, {10}, 20000),
      slot("b", TensorRole::router_bias, {10}, 20010), slot("q", TensorRole::q_bias, {5}, 20020),
      slot("v", TensorRole::v_bias, {5}, 20025)};
  std::vector<float> p(20030, -5.0f);
  ThreadPool pool(2);
  initialise(slots, 1, 0.02, pool, p);
  double sum = 0, squares = 0;
  for (int i = 0; i < 20000; ++i) {
    sum += p[static_cast<std::size_t>(i)];
    squares += std::pow(p[static_cast<std::size_t>(i)], 2);
    EXPECT_LE(std::abs(p[static_cast<std::size_t>(i)]), 0.0600001f);
  }
  EXPECT_NEAR(sum / 20000, 0, 5 * 0.02 / std::sqrt(20000.0));
  // Cutting a normal at three deviations takes 0.67 % of its deviation; five standard errors are 2.5 %.
  EXPECT_NEAR(std::sqrt(squares / 20000), 0.02, 0.0006);
  for (std::size_t i = 20000; i < 20010; ++i) EXPECT_EQ(p[i], 1.0f);
  for (std::size_t i = 20010; i < 20030; ++i) EXPECT_EQ(p[i], 0.0f);
}

TEST(Initialise, ATensorsValuesDependOnItsNameAndTheSeedAlone) {
  const std::vector<ParameterSlot> alone{slot("b", TensorRole::q_proj, {4, 4}, 0)};
  const std::vector<ParameterSlot> second{slot("a", TensorRole::q_proj, {4, 4}, 0),
                                          slot("b", TensorRole::q_proj, {4, 4}, 16)};
  ThreadPool one(1), three(3);
  std::vector<float> p(16), q(32), r(16);
  initialise(alone, 9, 0.1, one, p);
  initialise(second, 9, 0.1, three, q);
  initialise(alone, 10, 0.1, one, r);
  EXPECT_TRUE(std::equal(p.begin(), p.end(), q.begin() + 16));
  EXPECT_FALSE(std::equal(p.begin(), p.end(), q.begin()));
  EXPECT_NE(p, r);
}

}  // namespace
}  // namespace hadal
