// Loss-free balancing: the sign of (mean - load) moves each bias, and nothing else does.
#include "trainer/load_balance.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

ParameterSlot bias_slot(int layer, std::int64_t experts, std::int64_t offset) {
  TensorSpec tensor;
  tensor.role = TensorRole::router_bias;
  tensor.layer = layer;
  tensor.shape = {experts};
  return {tensor, offset, false};
}

TEST(LoadBalance, MovesOverloadedDownUnderloadedUpAndBalancedNot) {
  TensorSpec norm;
  norm.role = TensorRole::final_norm;
  norm.shape = {2};
  const std::vector<ParameterSlot> slots{bias_slot(1, 4, 0), {norm, 4, true}, bias_slot(2, 4, 6)};
  std::vector<float> parameters{0.5f, 0.5f, 0.5f, 0.5f, 9, 9, 0, 0, 0, 0};
  // Means: 10 and 5/4.
  const std::vector<std::int64_t> load{20, 10, 7, 3, 5, 0, 0, 0};
  update_router_bias(slots, load, 0.25, parameters);
  EXPECT_EQ(parameters, (std::vector<float>{0.25f, 0.5f, 0.75f, 0.75f, 9, 9, -0.25f, 0.25f, 0.25f, 0.25f}));
}

TEST(LoadBalance, RateZeroChangesNothing) {
  const std::vector<ParameterSlot> slots{bias_slot(0, 2, 0)};
  std::vector<float> parameters{0.125f, -0.125f};
  update_router_bias(slots, std::vector<std::int64_t>{9, 1}, 0, parameters);
  EXPECT_EQ(parameters, (std::vector<float>{0.125f, -0.125f}));
}

TEST(LoadBalance, TheWorstLayerIsReported) {
  EXPECT_DOUBLE_EQ(max_over_mean_load(std::vector<std::int64_t>{4, 4, 4, 4, 8, 4, 2, 2}, 4), 2.0);
  EXPECT_DOUBLE_EQ(max_over_mean_load({}, 4), 0.0);
  EXPECT_DOUBLE_EQ(max_over_mean_load(std::vector<std::int64_t>{0, 0}, 2), 0.0);
  EXPECT_DOUBLE_EQ(max_over_mean_load({}, 0), 0.0);
}

TEST(LoadBalance, RecentStepsAreSummedAndOlderOnesForgotten) {
  RecentLoad recent;
  EXPECT_TRUE(recent.sum().empty());
  recent.add(std::vector<std::int64_t>{7, 1});
  recent.add({});  // nothing learned
  for (std::size_t i = 1; i < RecentLoad::kSteps; ++i) recent.add(std::vector<std::int64_t>{1, 2});
  EXPECT_EQ(std::vector<std::int64_t>(recent.sum().begin(), recent.sum().end()), (std::vector<std::int64_t>{56, 99}));
  recent.add(std::vector<std::int64_t>{0, 3});  // the 7 and 1 go
  EXPECT_EQ(std::vector<std::int64_t>(recent.sum().begin(), recent.sum().end()), (std::vector<std::int64_t>{49, 101}));
}

}  // namespace
}  // namespace hadal
