// Stored weights into floats: fp8 blocks, presence, shapes, and what broken checkpoints say.
#include "spec/checkpoint.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "base/bf16.h"
#include "base/fp8.h"
#include "formats/safetensors.h"

namespace hadal {
namespace {

// Tensors in memory, to plant what no writer of ours would write.
class MemorySource final : public TensorSource {
 public:
  struct Tensor {
    DType dtype;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
  };
  template <class T>
  void put(const std::string& name, DType dtype, std::vector<std::int64_t> shape, const std::vector<T>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    tensors_[name] = {dtype, std::move(shape), {bytes.begin(), bytes.end()}};
  }
  void remove(const std::string& name) { tensors_.erase(name); }

  std::optional<TensorView> find(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    if (found == tensors_.end()) return std::nullopt;
    return TensorView{found->second.dtype, found->second.shape, found->second.bytes, "model.safetensors"};
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& [name, tensor] : tensors_) all.push_back(name);
    return all;
  }
  std::string_view subject() const override { return "memory"; }

 private:
  std::map<std::string, Tensor> tensors_;
};

TensorSpec spec_of(std::vector<std::int64_t> shape) {
  TensorSpec spec;
  spec.name = "model.layers.0.mlp.up_proj.weight";
  spec.role = TensorRole::dense_up;
  spec.shape = std::move(shape);
  spec.quantised_when_fp8 = true;
  return spec;
}

ModelConfig fp8_config(int rows, int cols) {
  ModelConfig config;
  config.weight_format = WeightFormat::fp8_block;
  config.weight_block_rows = rows;
  config.weight_block_cols = cols;
  return config;
}

// 3 x 5 in blocks of 2 x 2: partial blocks at both edges; every scale differs.
MemorySource fp8_source(const TensorSpec& spec, std::vector<float> scales = {1, 2, 4, 8, 16, 32}) {
  MemorySource source;
  std::vector<std::uint8_t> ones(15, 0x38);  // 1.0
  source.put(spec.name, DType::f8_e4m3, {3, 5}, ones);
  source.put(scale_name(spec), DType::f32, {2, 3}, scales);
  return source;
}

TEST(TensorReader, MultipliesEachFp8BlockByItsScale) {
  const TensorSpec spec = spec_of({3, 5});
  const MemorySource source = fp8_source(spec);
  std::vector<float> out(15);
  ASSERT_TRUE(read_rows_f32(source, spec, fp8_config(2, 2), 0, 3, out.data()).ok());
  EXPECT_EQ(out, (std::vector<float>{1, 1, 2, 2, 4, 1, 1, 2, 2, 4, 8, 8, 16, 16, 32}));
}

TEST(TensorReader, RowsOneByOneAreTheWholeTensor) {
  const TensorSpec spec = spec_of({3, 5});
  const MemorySource source = fp8_source(spec);
  const auto reader = TensorReader::open(source, spec, fp8_config(2, 2));
  ASSERT_TRUE(reader.ok()) << reader.error().message;
  std::vector<float> whole(15), rows(15);
  reader->read(0, 3, whole.data());
  for (int row = 0; row < 3; ++row) reader->read(row, 1, rows.data() + row * 5);
  EXPECT_EQ(rows, whole);
}

TEST(TensorReader, ReadsScalesThatArePowersOfTwoInOneByte) {  // V3.1's ue8m0
  const TensorSpec spec = spec_of({3, 5});
  MemorySource source = fp8_source(spec);
  source.put(scale_name(spec), DType::f8_e8m0, {2, 3}, std::vector<std::uint8_t>{127, 128, 129, 130, 131, 126});
  std::vector<float> out(15);
  ASSERT_TRUE(read_rows_f32(source, spec, fp8_config(2, 2), 0, 3, out.data()).ok());
  EXPECT_EQ(out[14], 0.5f);
  EXPECT_EQ(out[2], 2.0f);
}

TEST(TensorReader, ReadsEveryPlainKindAlike) {
  const TensorSpec spec = spec_of({2, 2});
  const std::vector<float> values = {1, -0.5f, 384, 0};
  std::vector<bf16> halves;
  for (float x : values) halves.push_back(to_bf16(x));
  MemorySource f32_source, bf16_source, f16_source;
  f32_source.put(spec.name, DType::f32, {2, 2}, values);
  bf16_source.put(spec.name, DType::bf16, {2, 2}, halves);
  f16_source.put(spec.name, DType::f16, {2, 2}, std::vector<std::uint16_t>{0x3c00, 0xb800, 0x5e00, 0});
  for (const MemorySource* source : {&f32_source, &bf16_source, &f16_source}) {
    std::vector<float> out(4);
    ASSERT_TRUE(read_rows_f32(*source, spec, ModelConfig{}, 0, 2, out.data()).ok());
    EXPECT_EQ(out, values);
  }
}

std::string error_of(const MemorySource& source, const TensorSpec& spec, const ModelConfig& config) {
  std::vector<float> out(static_cast<std::size_t>(spec.elements()));
  const Status status = read_rows_f32(source, spec, config, 0, spec.shape[0], out.data());
  return status.ok() ? "no error" : status.error().message;
}

TEST(TensorReader, AWrongShapeSaysExpectedAndFound) {
  TensorSpec spec = spec_of({64, 2048});
  MemorySource source;
  source.put(spec.name, DType::f32, {64, 1024}, std::vector<float>(64 * 1024));
  EXPECT_EQ(error_of(source, spec, {}),
            "model.safetensors: tensor model.layers.0.mlp.up_proj.weight: expected [64, 2048], found [64, 1024]");
}

TEST(TensorReader, AnAbsentTensorIsNamed) {
  EXPECT_EQ(error_of(MemorySource(), spec_of({3, 5}), {}),
            "memory: tensor model.layers.0.mlp.up_proj.weight: expected [3, 5], found no such tensor");
}

TEST(TensorReader, IntegersAreNoWeights) {
  const TensorSpec spec = spec_of({1, 2});
  MemorySource source;
  source.put(spec.name, DType::i32, {1, 2}, std::vector<std::int32_t>{1, 2});
  EXPECT_NE(error_of(source, spec, {}).find("expected F32, F16, BF16, F8_E4M3 or a block type, found I32"), std::string::npos);
}

TEST(TensorReader, ScalesThatAreNoScalesAreRefused) {
  const TensorSpec spec = spec_of({3, 5});
  const ModelConfig config = fp8_config(2, 2);
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  EXPECT_NE(
      error_of(fp8_source(spec, {1, 1, 1, 1, nan, 1}), spec, config).find("weight_scale_inv: expected finite scales"),
      std::string::npos);
  EXPECT_NE(error_of(fp8_source(spec, {1, 1, 1, 1, inf, 1}), spec, config).find("found inf at [1, 1]"),
            std::string::npos);
  EXPECT_NE(error_of(fp8_source(spec, {-1, 1, 1, 1, 1, 1}), spec, config).find("found -1 at [0, 0]"),
            std::string::npos);
}

TEST(TensorReader, AbsentOrMisshapenScalesAreRefused) {
  const TensorSpec spec = spec_of({3, 5});
  MemorySource source = fp8_source(spec);
  EXPECT_NE(error_of(source, spec, fp8_config(128, 128)).find("weight_scale_inv: expected [1, 1], found [2, 3]"),
            std::string::npos);
  EXPECT_NE(error_of(source, spec, {}).find("expected a quantization_config"), std::string::npos);
  source.remove(scale_name(spec));
  EXPECT_NE(error_of(source, spec, fp8_config(2, 2)).find("weight_scale_inv: expected the scales of an fp8 tensor"),
            std::string::npos);
}

// v3_fp8 spreads a tensor and its scales over two files. Its dequantised weights must look like the random
// matrices they were made from: a scale applied to the wrong block would multiply parts of them.
TEST(Checkpoint, GoldenFp8WeightsHaveOneSpreadInAllBlocks) {
  const std::string directory = HADAL_GOLDENS "/models/v3_fp8";
  const auto config = read_model_config(directory);
  const auto source = Safetensors::open(directory);
  ASSERT_TRUE(config.ok() && source.ok());
  int checked = 0;
  bool in_another_file = false;
  for (const TensorSpec& spec : tensor_table(*config)) {
    if (!spec.quantised_when_fp8) continue;
    const auto reader = TensorReader::open(*source, spec, *config);
    ASSERT_TRUE(reader.ok()) << reader.error().message;
    in_another_file |= source->find(scale_name(spec))->file != reader->stored().file;
    std::vector<float> x(static_cast<std::size_t>(spec.elements()));
    reader->read(0, reader->rows(), x.data());
    double largest = 0, square = 0;
    for (float value : x) {
      ASSERT_TRUE(std::isfinite(value)) << spec.name;
      largest = std::max(largest, std::abs(static_cast<double>(value)));
      square += static_cast<double>(value) * value;
    }
    EXPECT_LT(largest / std::sqrt(square / static_cast<double>(x.size())), 8)
        << spec.name;  // normal numbers stay within 5 sigma
    ++checked;
  }
  EXPECT_GT(checked, 50);
  EXPECT_TRUE(in_another_file);
}

TEST(Checkpoint, AConfigThatIsNotThereIsNamed) {
  const auto config = read_model_config(HADAL_GOLDENS "/models/no_such_model");
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().kind, ErrorKind::not_found);
  EXPECT_NE(config.error().message.find("no_such_model/config.json: cannot open: No such file"), std::string::npos);
}

}  // namespace
}  // namespace hadal
