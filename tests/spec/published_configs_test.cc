// Check values of MODELS.md for the models as they are published: parameter counts, softmax scales, YaRN.
#include "spec/published_configs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "spec/tensor_table.h"

namespace hadal {
namespace {

ModelConfig config_of(std::string_view json) {
  auto config = parse_model_config(json, "config.json");
  EXPECT_TRUE(config.ok()) << config.error().message;
  return config.ok() ? *config : ModelConfig{};
}

struct Published {
  const char* name;
  const char* json;
  double total, active;  // 10^9 (MODELS.md 1.1, "Parameter self-check")
};

class PublishedModel : public testing::TestWithParam<Published> {};

TEST_P(PublishedModel, HasTheParametersOfItsCard) {
  const ParameterCounts counts = count_parameters(config_of(GetParam().json));
  // The card's formula leaves out norms and biases: at most 0.0012 of these figures' last digit.
  EXPECT_NEAR(static_cast<double>(counts.total) * 1e-9, GetParam().total, 0.006);
  EXPECT_NEAR(static_cast<double>(counts.active) * 1e-9, GetParam().active, 0.06);
}

TEST_P(PublishedModel, ConfigComesBackFromWhatIsWritten) {
  const ModelConfig config = config_of(GetParam().json);
  EXPECT_EQ(config_of(write_model_config(config)), config);
}

INSTANTIATE_TEST_SUITE_P(Card, PublishedModel,
                         testing::Values(Published{"v2_lite", kV2LiteJson, 15.706, 2.66},
                                         Published{"v2", kV2Json, 235.74, 21.4},
                                         Published{"moonlight", kMoonlightJson, 15.96, 2.91},
                                         Published{"v3", kV3Json, 671.03, 37.55}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(PublishedModels, MtpLayerOfV3AddsItsOwnParametersOnly) {
  EXPECT_NEAR(static_cast<double>(count_parameters(config_of(kV3Json)).mtp) * 1e-9, 11.61, 0.006);
  EXPECT_EQ(count_parameters(config_of(kMoonlightJson)).mtp, 0);
}

TEST(PublishedModels, SoftmaxScaleCarriesTheSquareOfMscale) {
  EXPECT_NEAR(softmax_scale(config_of(kV3Json)), 0.1352338, 5e-8);
  EXPECT_NEAR(softmax_scale(config_of(kV2LiteJson)), 0.1147214, 5e-8);
  EXPECT_NEAR(softmax_scale(config_of(kV2Json)), 0.1147214, 5e-8);
  EXPECT_NEAR(softmax_scale(config_of(k2_rope_json())), 0.1308608, 5e-8);
  EXPECT_NEAR(softmax_scale(config_of(kMoonlightJson)), 1 / std::sqrt(192.0), 5e-8);  // no YaRN: nothing but d^-1/2
}

// The first index that YaRN touches and the first that it divides in full, read off the frequencies.
std::pair<int, int> ramp_of(const ModelConfig& config) {
  const auto f = rope_inverse_frequencies(config);
  int first_touched = -1, first_divided = -1;
  for (int i = 0; i < static_cast<int>(f.size()); ++i) {
    const double plain = std::pow(config.rope_theta, -2.0 * i / config.qk_rope_head_dim);
    const double ratio = f[static_cast<std::size_t>(i)] / plain;
    if (first_touched < 0 && ratio < 1 - 1e-6) first_touched = i;
    if (first_divided < 0 && ratio < (1 + 1e-6) / config.rope_scaling->factor) first_divided = i;
  }
  return {first_touched, first_divided};
}

TEST(PublishedModels, YarnRampLiesBetweenTheCheckValues) {
  EXPECT_EQ(ramp_of(config_of(kV3Json)), std::pair(11, 23));         // low 10, high 23
  EXPECT_EQ(ramp_of(config_of(k2_rope_json())), std::pair(20, 20));  // low 19, high 20: nothing in between
}

TEST(PublishedModels, YarnInterpolatesLinearlyOnTheRamp) {
  const ModelConfig config = config_of(kV3Json);
  const auto f = rope_inverse_frequencies(config);
  ASSERT_EQ(f.size(), 32u);
  for (int i = 10; i <= 23; ++i) {
    const double plain = std::pow(10000.0, -2.0 * i / 64), share = (i - 10) / 13.0;
    EXPECT_NEAR(f[static_cast<std::size_t>(i)] / plain, 1 - share * (1 - 1 / 40.0), 1e-6) << i;
  }
}

TEST(PublishedModels, WithoutYarnFrequenciesArePowersOfTheta) {
  const auto f = rope_inverse_frequencies(config_of(kMoonlightJson));
  for (int i = 0; i < 32; ++i)
    EXPECT_EQ(f[static_cast<std::size_t>(i)], static_cast<float>(std::pow(50000.0, -i / 32.0))) << i;
}

}  // namespace
}  // namespace hadal
