#include "base/dtype.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "formats/safetensors_bytes.h"

namespace hadal {
namespace {

constexpr DType kAll[] = {DType::f32, DType::f16, DType::bf16, DType::f8_e4m3, DType::f8_e8m0, DType::f64,
                          DType::i8,  DType::u8,  DType::i16,  DType::i32,     DType::i64};

TEST(DType, NamesReadBack) {
  for (DType dtype : kAll) EXPECT_EQ(plain_dtype_of(name_of(dtype)), dtype);
  EXPECT_EQ(plain_dtype_of("F4"), std::nullopt);
  EXPECT_EQ(plain_dtype_of(""), std::nullopt);
  EXPECT_EQ(plain_dtype_of("bf16"), std::nullopt);
  EXPECT_EQ(plain_dtype_of("Q4_K"), std::nullopt);  // safetensors has no blocks
  EXPECT_EQ(weight_dtype_of("q4_k"), DType::q4_k);
  EXPECT_EQ(weight_dtype_of("BF16"), DType::bf16);
  EXPECT_EQ(weight_dtype_of("I32"), std::nullopt);
}

TEST(DType, KnownListNamesThemAll) {
  for (DType dtype : kAll) EXPECT_NE(known_plain_dtypes().find(name_of(dtype)), std::string_view::npos);
}

std::vector<float> floats(DType dtype, const std::string& bytes, std::size_t n) {
  // At an odd address, as a hostile or merely old file may have it.
  std::vector<std::byte> shifted(bytes.size() + 1);
  std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
  std::vector<float> out(n);
  convert_to_f32(dtype, shifted.data() + 1, n, out.data());
  return out;
}

TEST(DType, ConvertsFromAnyAddress) {
  EXPECT_EQ(floats(DType::f32, raw({1.5f, -2.0f}), 2), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(floats(DType::f64, raw({0.1, -2.0}), 2), (std::vector<float>{0.1f, -2.0f}));
  EXPECT_EQ(floats(DType::bf16, raw<std::uint16_t>({0x3f80, 0xc040}), 2), (std::vector<float>{1, -3}));
  EXPECT_EQ(floats(DType::f16, raw<std::uint16_t>({0x3c00, 0x0001}), 2), (std::vector<float>{1, 0x1p-24f}));
  EXPECT_EQ(floats(DType::f8_e4m3, raw<std::uint8_t>({0x38, 0xfe}), 2), (std::vector<float>{1, -448}));
  EXPECT_EQ(floats(DType::f8_e8m0, raw<std::uint8_t>({127, 130}), 2), (std::vector<float>{1, 8}));
  EXPECT_EQ(floats(DType::i8, raw<std::int8_t>({-128, 7}), 2), (std::vector<float>{-128, 7}));
  EXPECT_EQ(floats(DType::u8, raw<std::uint8_t>({200, 7}), 2), (std::vector<float>{200, 7}));
  EXPECT_EQ(floats(DType::i32, raw<std::int32_t>({-70000, 7}), 2), (std::vector<float>{-70000, 7}));
  EXPECT_EQ(floats(DType::i64, raw<std::int64_t>({-70000, 7}), 2), (std::vector<float>{-70000, 7}));
}

TEST(DType, NothingConvertsToNothing) {
  for (DType dtype : kAll) convert_to_f32(dtype, nullptr, 0, nullptr);
}

TEST(DTypeDeathTest, FloatsAreNoIntegers) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(convert_to_i64(DType::f32, nullptr, 0, nullptr), "check failed");
}

}  // namespace
}  // namespace hadal
