// What is written is what is read; and the same input gives the same bytes.
#include "formats/safetensors_writer.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/json.h"
#include "base/temp_dir.h"
#include "formats/safetensors.h"

namespace hadal {
namespace {

const std::vector<TensorDeclaration> kTensors = {
    {"z", DType::f32, {2, 3}}, {"a", DType::u8, {5}}, {"empty", DType::bf16, {0, 4}}, {"m", DType::i64, {2}}};

// 24 + 5 + 0 + 16 bytes: 0, 1, 2, ...
std::vector<std::byte> counting_data() {
  std::vector<std::byte> data(45);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i);
  return data;
}

TEST(SafetensorsFileWriter, WhatIsWrittenIsRead) {
  TempDir dir;
  auto writer = SafetensorsFileWriter::create(dir / "x.safetensors", kTensors);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  const auto data = counting_data();
  for (std::size_t i = 0; i < data.size(); i += 7)  // pieces that ignore the tensors' borders
    ASSERT_TRUE(writer->append(std::span(data).subspan(i, std::min<std::size_t>(7, data.size() - i))).ok());
  EXPECT_FALSE(std::filesystem::exists(dir / "x.safetensors"));
  ASSERT_TRUE(writer->commit().ok());
  const auto source = Safetensors::open(dir / "x.safetensors");
  ASSERT_TRUE(source.ok()) << source.error().message;
  std::size_t offset = 0;
  for (const TensorDeclaration& tensor : kTensors) {
    const auto found = source->find(tensor.name);
    ASSERT_TRUE(found) << tensor.name;
    EXPECT_EQ(found->dtype, tensor.dtype);
    EXPECT_EQ(found->shape, tensor.shape);
    ASSERT_EQ(found->bytes.size(), tensor.data_bytes());
    EXPECT_TRUE(
        std::equal(found->bytes.begin(), found->bytes.end(), data.begin() + static_cast<std::ptrdiff_t>(offset)));
    offset += found->bytes.size();
  }
  EXPECT_EQ(source->metadata().at("format"), "pt");
}

TEST(SafetensorsFileWriter, DataBeginsAtAMultipleOf64Bytes) {
  TempDir dir;
  auto writer = SafetensorsFileWriter::create(dir / "x", kTensors);
  ASSERT_TRUE(writer->append(counting_data()).ok() && writer->commit().ok());
  EXPECT_EQ((std::filesystem::file_size(dir / "x") - 45) % 64, 0u);
}

TEST(SafetensorsFileWriter, DroppedBeforeCommitNothingRemains) {
  TempDir dir;
  {
    auto writer = SafetensorsFileWriter::create(dir / "x", kTensors);
    ASSERT_TRUE(writer.ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(SafetensorsFileWriterDeathTest, MoreOrLessDataThanDeclaredIsOurMistake) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  TempDir dir;
  EXPECT_DEATH((void)SafetensorsFileWriter::create(dir / "x", kTensors)->commit(), "check failed");
  EXPECT_DEATH((void)SafetensorsFileWriter::create(dir / "x", kTensors)->append(std::vector<std::byte>(46)),
               "check failed");
}

Status write_all(const std::filesystem::path& directory, std::uint64_t max_shard_bytes) {
  HADAL_ASSIGN(SafetensorsWriter writer, SafetensorsWriter::create(directory, kTensors, max_shard_bytes));
  const auto data = counting_data();
  std::size_t offset = 0;
  for (const TensorDeclaration& tensor : kTensors) {
    const std::size_t size = tensor.data_bytes(), half = size / 2;
    HADAL_RETURN_IF_ERROR(writer.append(std::span(data).subspan(offset, half)));
    HADAL_RETURN_IF_ERROR(writer.append(std::span(data).subspan(offset + half, size - half)));
    offset += size;
  }
  return writer.commit();
}

class ShardLimits : public testing::TestWithParam<std::uint64_t> {};

TEST_P(ShardLimits, EveryLimitGivesTheSameTensors) {
  TempDir dir;
  const Status status = write_all(dir.path(), GetParam());
  ASSERT_TRUE(status.ok()) << status.error().message;
  const auto source = Safetensors::open(dir.path());
  ASSERT_TRUE(source.ok()) << source.error().message;
  ASSERT_EQ(source->names().size(), kTensors.size());
  const auto data = counting_data();
  std::size_t offset = 0;
  for (const TensorDeclaration& tensor : kTensors) {
    const auto found = source->find(tensor.name);
    EXPECT_TRUE(
        std::equal(found->bytes.begin(), found->bytes.end(), data.begin() + static_cast<std::ptrdiff_t>(offset)))
        << tensor.name;
    offset += tensor.data_bytes();
  }
}
INSTANTIATE_TEST_SUITE_P(Bytes, ShardLimits, testing::Values(0, 1, 5, 24, 28, 29, 44, 45, 1000));

TEST(SafetensorsWriter, ShardsCarryHuggingFaceNamesAndAnIndexWithTheTotal) {
  TempDir dir;
  ASSERT_TRUE(write_all(dir.path(), 29).ok());
  EXPECT_TRUE(std::filesystem::exists(dir / "model-00001-of-00002.safetensors"));
  const auto index = read_json_file(dir / "model.safetensors.index.json");
  ASSERT_TRUE(index.ok());
  EXPECT_EQ((*index)["metadata"]["total_size"], 45);
  EXPECT_EQ((*index)["weight_map"]["z"], "model-00001-of-00002.safetensors");
  EXPECT_EQ((*index)["weight_map"]["m"], "model-00002-of-00002.safetensors");
}

TEST(SafetensorsWriter, SameInputSameBytes) {
  TempDir a, b;
  ASSERT_TRUE(write_all(a.path(), 1000).ok() && write_all(b.path(), 1000).ok());
  EXPECT_EQ(read_file(a / "model.safetensors"), read_file(b / "model.safetensors"));
}

TEST(SafetensorsWriter, AFolderThatIsNotThereIsAnError) {
  TempDir dir;
  EXPECT_EQ(write_all(dir / "absent", 1000).error().kind, ErrorKind::not_found);
}

}  // namespace
}  // namespace hadal
