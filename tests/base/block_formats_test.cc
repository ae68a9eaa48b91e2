// Block types against values that independent code made of the same bytes (gguf/quants of the goldens: quantised by
// llama.cpp, dequantised by its Python package). Where two formulas are equal, so are the bits.
#include "base/block_formats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/mapped_file.h"

namespace hadal {
namespace {

// Just enough of both containers to find a tensor's bytes; the readers proper stand above this layer.
class Cursor {
 public:
  explicit Cursor(const std::byte* at) : at_(at) {}
  template <class T>
  T take() {
    T x;
    std::memcpy(&x, at_, sizeof(T));
    at_ += sizeof(T);
    return x;
  }
  std::string take_string() {
    const auto size = take<std::uint64_t>();
    std::string s(reinterpret_cast<const char*>(at_), size);
    at_ += size;
    return s;
  }
  const std::byte* at() const { return at_; }

 private:
  const std::byte* at_;
};

// Every tensor of quants.gguf, by its name, which is its type's.
std::map<std::string, const std::byte*> stored_tensors(const MappedFile& file) {
  Cursor cursor(file.bytes().data() + 8);
  const auto tensors = cursor.take<std::uint64_t>(), keys = cursor.take<std::uint64_t>();
  EXPECT_EQ(keys, 1u);
  cursor.take_string();  // general.architecture, a string
  cursor.take<std::uint32_t>();
  cursor.take_string();
  std::map<std::string, std::uint64_t> offsets;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    const std::string name = cursor.take_string();
    for (auto dimensions = cursor.take<std::uint32_t>(); dimensions > 0; --dimensions) cursor.take<std::uint64_t>();
    cursor.take<std::uint32_t>();
    offsets[name] = cursor.take<std::uint64_t>();
  }
  const auto header = static_cast<std::size_t>(cursor.at() - file.bytes().data());
  std::map<std::string, const std::byte*> found;
  for (const auto& [name, offset] : offsets) found[name] = file.bytes().data() + (header + 31) / 32 * 32 + offset;
  return found;
}

constexpr std::size_t kRows = 5, kWidth = 512, kValues = kRows * kWidth;

// The golden's tensor of that name: [5, 512] float32.
std::vector<float> golden_values(const MappedFile& file, const std::string& name) {
  Cursor cursor(file.bytes().data());
  const auto size = cursor.take<std::uint64_t>();
  const std::string header(reinterpret_cast<const char*>(cursor.at()), size);
  const std::size_t at = header.find("\"data_offsets\"", header.find("\"" + name + "\"")),
                    begin = header.find('[', at) + 1;
  std::vector<float> values(kValues);
  std::memcpy(values.data(), cursor.at() + size + std::stoull(header.substr(begin)), kValues * 4);
  return values;
}

constexpr const char* kTypes[] = {"f16",   "bf16",   "q4_0",    "q4_1",  "q5_0",   "q5_1",   "q8_0",  "q2_k",
                                  "q3_k",  "q4_k",   "q5_k",    "q6_k",  "iq4_nl", "iq4_xs", "iq3_s", "iq3_xxs",
                                  "iq2_s", "iq2_xs", "iq2_xxs", "iq1_s", "iq1_m",  "tq1_0",  "tq2_0", "mxfp4"};

const std::string kFolder = std::string(HADAL_GOLDENS) + "/gguf/quants/";

class BlockFormats : public ::testing::TestWithParam<const char*> {};

TEST_P(BlockFormats, ValuesAreThoseOfIndependentCodeBitForBit) {
  const MappedFile stored = MappedFile::open(kFolder + "quants.gguf").value();
  const MappedFile golden = MappedFile::open(kFolder + "golden.safetensors").value();
  const DType dtype = weight_dtype_of(GetParam()).value();
  const std::byte* bytes = stored_tensors(stored).at(GetParam());
  const auto expected = golden_values(golden, GetParam());
  std::vector<float> found(kValues);
  convert_to_f32(dtype, bytes, kValues, found.data());
  for (std::size_t i = 0; i < kValues; ++i) ASSERT_EQ(found[i], expected[i]) << i;
}

// What the comparison above would miss is nothing: any single bit of a block moves a value.
TEST_P(BlockFormats, EveryBitOfABlockMatters) {
  const MappedFile stored = MappedFile::open(kFolder + "quants.gguf").value();
  const DType dtype = weight_dtype_of(GetParam()).value();
  const std::size_t values = static_cast<std::size_t>(block_values(dtype)),
                    size = static_cast<std::size_t>(block_bytes(dtype));
  const std::byte* bytes = stored_tensors(stored).at(GetParam());
  std::vector<std::byte> block(bytes, bytes + size);
  std::vector<float> before(values), after(values);
  convert_to_f32(dtype, block.data(), values, before.data());
  int without_effect = 0;
  for (std::size_t bit = 0; bit < 8 * size; ++bit) {
    block[bit / 8] ^= std::byte{1} << bit % 8;
    convert_to_f32(dtype, block.data(), values, after.data());
    block[bit / 8] ^= std::byte{1} << bit % 8;
    without_effect += std::memcmp(before.data(), after.data(), values * 4) == 0;
  }
  // Base-three digits have spare values, a zero minimum hides its scale, one grid has equal entries: a few bits are
  // idle.
  EXPECT_LE(without_effect, static_cast<int>(size) * 8 / 4);
}

INSTANTIATE_TEST_SUITE_P(AllTypes, BlockFormats, ::testing::ValuesIn(kTypes),
                         [](const auto& test) { return std::string(test.param); });

TEST(BlockFormats, BlocksMayLieAtAnyAddress) {
  std::vector<std::byte> bytes(35);
  bytes[2] = std::byte{0x3c};  // d = 1, one byte off
  bytes[3] = std::byte{0xff};
  bytes[34] = std::byte{0x80};
  float out[32];
  dequantise(DType::q8_0, bytes.data() + 1, 32, out);
  EXPECT_EQ(out[0], -1);
  EXPECT_EQ(out[1], 0);
  EXPECT_EQ(out[31], -128);
}

TEST(BlockFormatsDeathTest, PartsOfBlocksAreRefused) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  std::byte block[144] = {};
  float out[256];
  EXPECT_DEATH(dequantise(DType::q4_k, block, 100, out), "check failed");
  EXPECT_DEATH(dequantise(DType::f32, block, 4, out), "check failed");
}

}  // namespace
}  // namespace hadal
