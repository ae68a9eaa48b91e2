// Products with weights in the blocks of their file: unpacked values against the definition (base/block_formats.h),
// few rows in 8-bit codes and many rows through panels, on every instruction set.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <tuple>

#include "base/block_formats.h"
#include "base/interleaved_rows.h"
#include "isas.h"
#include "kernels/matmul.h"
#include "numbers.h"

namespace hadal {
namespace {

using testing::difference;
using testing::random_values;

constexpr DType kTypes[] = {DType::q4_0,   DType::q4_1,   DType::q5_0, DType::q5_1, DType::q8_0,
                            DType::q2_k,   DType::q3_k,   DType::q4_k, DType::q5_k, DType::q6_k,
                            DType::iq4_nl, DType::iq4_xs, DType::mxfp4};

// Where a block keeps its half-precision numbers; everything else may be any bits.
std::vector<int> halves_of(DType dtype) {
  switch (dtype) {
    case DType::q4_1:
    case DType::q5_1:
    case DType::q4_k:
    case DType::q5_k:
      return {0, 2};
    case DType::q2_k:
      return {80, 82};
    case DType::q3_k:
      return {108};
    case DType::q6_k:
      return {208};
    case DType::mxfp4:
      return {};
    default:
      return {0};
  }
}

// [rows, k] in blocks of random bits with scales of about 0.01, one of them subnormal, one zero.
std::vector<std::byte> random_blocks(DType dtype, int rows, int k, std::uint64_t seed) {
  const std::size_t bytes = static_cast<std::size_t>(block_bytes(dtype));
  std::vector<std::byte> blocks(size_bytes(dtype, static_cast<std::size_t>(rows) * static_cast<std::size_t>(k)));
  Rng rng(seed);
  for (std::byte& b : blocks) b = static_cast<std::byte>(rng.next_below(256));
  int number = 0;
  for (std::size_t at = 0; at < blocks.size(); at += bytes, ++number) {
    for (const int half : halves_of(dtype)) {
      std::uint16_t scale = static_cast<std::uint16_t>(rng.next_below(2) << 15 | 8u << 10 | rng.next_below(1024));
      if (number == 1) scale = 5;
      if (number == 2) scale = 0;
      std::memcpy(blocks.data() + at + static_cast<std::size_t>(half), &scale, 2);
    }
    if (dtype == DType::mxfp4) blocks[at] = static_cast<std::byte>(118 + rng.next_below(8));
  }
  return blocks;
}

std::vector<float> values_of(DType dtype, const std::vector<std::byte>& blocks, int rows, int k) {
  std::vector<float> values(static_cast<std::size_t>(rows) * static_cast<std::size_t>(k));
  dequantise(dtype, blocks.data(), values.size(), values.data());
  return values;
}

struct Case {
  Isa isa;
  DType dtype;
};
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Isa isa : testing::runnable_isas())
    for (const DType dtype : kTypes) cases.push_back({isa, dtype});
  return cases;
}

// Rows of seven blocks of 256, of which four are a unit, or with an end of 160 for blocks of 32.
int width_for(DType dtype) {
  return block_values(dtype) == 256 ? 1792 : 672;
}

class Stored : public ::testing::TestWithParam<Case> {
 protected:
  DType dtype() const { return GetParam().dtype; }
  const StoredKernels& kernels() const { return *kernels_for(GetParam().isa)->stored(dtype()); }
};

TEST_P(Stored, ValuesAreThoseOfTheDefinitionBitForBit) {
  const int k = width_for(dtype());
  const auto blocks = random_blocks(dtype(), 4, k, 1);
  const auto expected = values_of(dtype(), blocks, 4, k);
  std::vector<float> found(expected.size());
  const std::size_t row = size_bytes(dtype(), static_cast<std::size_t>(k));
  for (std::size_t i = 0; i < 4; ++i)
    kernels().values(blocks.data() + i * row, k, found.data() + i * static_cast<std::size_t>(k));
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], expected[i]) << i;
}

// y = x W^T in double.
std::vector<double> product(const std::vector<float>& x, const std::vector<float>& w, int rows, int outputs,
                            int inputs) {
  std::vector<double> y;
  for (int r = 0; r < rows; ++r)
    for (int o = 0; o < outputs; ++o) {
      double sum = 0;
      for (int i = 0; i < inputs; ++i)
        sum += static_cast<double>(x[static_cast<std::size_t>(r * inputs + i)]) *
               static_cast<double>(w[static_cast<std::size_t>(o * inputs + i)]);
      y.push_back(sum);
    }
  return y;
}

enum class On { all_threads, one_thread };
std::vector<float> stored_product(const Case& c, Arithmetic arithmetic, const std::vector<std::byte>& blocks,
                                  const std::vector<float>& x, int rows, int outputs, int inputs,
                                  bool interleaved = false, On on = On::all_threads) {
  testing::Machine machine(c.isa, arithmetic, 2);
  PackedMatrix matrix;
  const StoredRows piece{.dtype = c.dtype,
                         .data = blocks.data(),
                         .row_bytes = size_bytes(c.dtype, static_cast<std::size_t>(inputs)),
                         .first_output = 0,
                         .outputs = outputs,
                         .interleaved = interleaved};
  matrix.refer(arithmetic, outputs, inputs, {&piece, 1});
  std::vector<float> y(static_cast<std::size_t>(rows) * static_cast<std::size_t>(outputs), NAN);
  (on == On::one_thread ? matmul_here : static_cast<void (*)(const Compute&, const MatmulJob&)>(matmul))(
      machine.compute,
      {.weights = &matrix, .x = x.data(), .x_stride = inputs, .y = y.data(), .y_stride = outputs, .rows = rows});
  return y;
}

// x [rows, k] in eight bits, 32 values to a scale, as the kernel rounds it.
std::vector<float> coded(const std::vector<float>& x, int k) {
  std::vector<float> rounded = x;
  for (std::size_t i = 0; i < x.size();) {
    const std::size_t row = static_cast<std::size_t>(k), run = 32,
                      end = std::min(i + run - i % row % run, (i / row + 1) * row);
    float top = 0;
    for (std::size_t j = i; j < end; ++j) top = std::max(top, std::fabs(x[j]));
    for (std::size_t j = i; j < end; ++j) rounded[j] = std::nearbyint(x[j] * (127.0f / top)) * (top / 127.0f);
    i = end;
  }
  return rounded;
}

// What is left beside the rounding of x is float32 noise. Measured: at most 5e-7.
TEST_P(Stored, FewRowsAreProductsWithCodedActivations) {
  const int k = width_for(dtype()), outputs = 70;
  const auto blocks = random_blocks(dtype(), outputs, k, 2);
  const auto w = values_of(dtype(), blocks, outputs, k);
  for (const int rows : {1, 2, 3, 8, 11}) {
    const auto x = random_values<float>(rows * k, 3);
    const auto y = stored_product(GetParam(), Arithmetic::fast, blocks, x, rows, outputs, k);
    EXPECT_LT(difference(y, product(coded(x, k), w, rows, outputs, k)), 3e-6) << rows;
    // And the bound is far below what forgetting the rounding would do (3e-3 to 9e-3).
    EXPECT_GT(difference(y, product(x, w, rows, outputs, k)), 1e-3) << rows;
  }
}

// A row that ends within a block of 256 is read into the next one, where x is zero.
TEST_P(Stored, ARowHasTheSameBitsWhateverFollowsIt) {
  const int k = width_for(dtype()), outputs = 9, rows = 3;
  const auto blocks = random_blocks(dtype(), outputs, k, 8);
  const auto x = random_values<float>(rows * k, 9);
  const auto y = stored_product(GetParam(), Arithmetic::fast, blocks, x, rows, outputs, k);
  const auto row = static_cast<std::ptrdiff_t>(size_bytes(dtype(), static_cast<std::size_t>(k)));
  for (int o = 0; o < outputs; ++o) {
    const std::vector<std::byte> alone(blocks.begin() + o * row, blocks.begin() + (o + 1) * row);
    const auto expected = stored_product(GetParam(), Arithmetic::fast, alone, x, rows, 1, k);
    for (int r = 0; r < rows; ++r)
      EXPECT_EQ(y[static_cast<std::size_t>(r * outputs + o)], expected[static_cast<std::size_t>(r)]) << o << " " << r;
  }
}

// 127 over the largest of a run is no float there, and times a zero no number.
TEST_P(Stored, RunsOfTinyActivationsCountAsZeros) {
  const int k = width_for(dtype()), outputs = 9;
  const auto blocks = random_blocks(dtype(), outputs, k, 18);
  for (const int rows : {1, 3})
    for (const float top : {3e-37f, 1e-38f, 1e-40f}) {
      auto zeros = random_values<float>(rows * k, 19);
      std::fill_n(zeros.begin() + 64, 32, 0.0f);
      auto tiny = zeros;
      for (std::size_t i = 64; i < 96; i += 3) tiny[i] = top;
      const auto expected = stored_product(GetParam(), Arithmetic::fast, blocks, zeros, rows, outputs, k);
      EXPECT_TRUE(
          testing::same_bits(stored_product(GetParam(), Arithmetic::fast, blocks, tiny, rows, outputs, k), expected))
          << top << " " << rows;
    }
}

// The types of tiles as few rows are, in tiles and an end that makes none; others round weights and activations to
// bf16: measured 1.5e-3 to 2.9e-3.
TEST_P(Stored, ManyRowsAreProductsInCodesOrInBf16) {
  const int k = width_for(dtype()), outputs = 70, rows = 40;
  const auto blocks = random_blocks(dtype(), outputs, k, 4);
  const auto w = values_of(dtype(), blocks, outputs, k);
  const auto x = random_values<float>(rows * k, 5);
  const auto y = stored_product(GetParam(), Arithmetic::fast, blocks, x, rows, outputs, k);
  if (can_interleave(dtype()))
    EXPECT_LT(difference(y, product(coded(x, k), w, rows, outputs, k)), 3e-6);
  else
    EXPECT_LT(difference(y, product(x, w, rows, outputs, k)), 4e-3);
}

TEST_P(Stored, ExactProductsHaveTheBitsOfPackedOnes) {
  const int k = width_for(dtype()), outputs = 70;
  const auto blocks = random_blocks(dtype(), outputs, k, 6);
  const auto w = values_of(dtype(), blocks, outputs, k);
  for (const int rows : {1, 5, 40}) {
    const auto x = random_values<float>(rows * k, 7);
    testing::Machine machine(GetParam().isa, Arithmetic::exact, 2);
    PackedMatrix packed;
    packed.allocate(Arithmetic::exact, outputs, k);
    packed.pack_rows(*machine.compute.kernels, 0, outputs, w.data(), k);
    std::vector<float> expected(static_cast<std::size_t>(rows * outputs));
    matmul(machine.compute,
           {.weights = &packed, .x = x.data(), .x_stride = k, .y = expected.data(), .y_stride = outputs, .rows = rows});
    EXPECT_EQ(stored_product(GetParam(), Arithmetic::exact, blocks, x, rows, outputs, k), expected) << rows;
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, Stored, ::testing::ValuesIn(all_cases()), [](const auto& test) {
  return std::string(isa_name(test.param.isa)) + "_" + std::string(name_of(test.param.dtype));
});

// The same weights in tiles of sixteen rows (base/interleaved_rows.h).
class Interleaved : public Stored {
 protected:
  static constexpr int kOutputs = 80;
  std::vector<std::byte> in_tiles(const std::vector<std::byte>& blocks) const {
    const std::size_t row = size_bytes(dtype(), static_cast<std::size_t>(width_for(dtype())));
    std::vector<std::byte> tiles(blocks.size());
    for (std::size_t at = 0; at < blocks.size(); at += kTileRows * row)
      interleave_rows(dtype(), blocks.data() + at, row, tiles.data() + at);
    return tiles;
  }
};

// The same products of the same codes, summed in another order. Measured: at most 5e-7.
TEST_P(Interleaved, FewRowsAreThoseOfRowsApart) {
  const int k = width_for(dtype());
  const auto blocks = random_blocks(dtype(), kOutputs, k, 11), tiles = in_tiles(blocks);
  for (const int rows : {1, 2, 3, 8, 11, 16}) {
    const auto x = random_values<float>(rows * k, 12);
    const auto apart = stored_product(GetParam(), Arithmetic::fast, blocks, x, rows, kOutputs, k);
    const auto y = stored_product(GetParam(), Arithmetic::fast, tiles, x, rows, kOutputs, k, true);
    EXPECT_LT(difference(y, std::vector<double>(apart.begin(), apart.end())), 3e-6) << rows;
    // Every instruction set sums in the same order.
    EXPECT_EQ(y, stored_product({best_isa(), dtype()}, Arithmetic::fast, tiles, x, rows, kOutputs, k, true)) << rows;
  }
}

TEST_P(Interleaved, TilesAreThoseOfTheDefinition) {
  const auto blocks = random_blocks(dtype(), kOutputs, width_for(dtype()), 17), expected = in_tiles(blocks);
  const std::size_t row = size_bytes(dtype(), static_cast<std::size_t>(width_for(dtype())));
  std::vector<std::byte> found(blocks.size());
  for (std::size_t at = 0; at < blocks.size(); at += kTileRows * row)
    kernels().interleave(blocks.data() + at, row, found.data() + at);
  EXPECT_EQ(found, expected);
}

// Many rows stay in 8 bits: each has what it has in a call of eight, summed in pieces.
TEST_P(Interleaved, ManyRowsAreThoseOfFew) {
  constexpr int kRows = 107;  // two parts, groups of 32 rows, an end of 3
  const int k = width_for(dtype());
  const auto tiles = in_tiles(random_blocks(dtype(), kOutputs, k, 15));
  const auto x = random_values<float>(kRows * k, 16);
  std::vector<double> few;
  for (int row = 0; row < kRows; ++row) {
    const std::vector<float> one(x.begin() + row * k, x.begin() + (row + 1) * k);
    for (const float v : stored_product(GetParam(), Arithmetic::fast, tiles, one, 1, kOutputs, k, true))
      few.push_back(static_cast<double>(v));
  }
  const auto y = stored_product(GetParam(), Arithmetic::fast, tiles, x, kRows, kOutputs, k, true);
  EXPECT_LT(difference(y, few), 3e-6);
  EXPECT_EQ(y, stored_product({best_isa(), dtype()}, Arithmetic::fast, tiles, x, kRows, kOutputs, k, true));
  EXPECT_EQ(y, stored_product(GetParam(), Arithmetic::fast, tiles, x, kRows, kOutputs, k, true, On::one_thread));
}

TEST_P(Interleaved, ExactProductsHaveTheBitsOfRowsApart) {
  const int k = width_for(dtype());
  const auto blocks = random_blocks(dtype(), kOutputs, k, 13), tiles = in_tiles(blocks);
  const auto x = random_values<float>(40 * k, 14);
  EXPECT_EQ(stored_product(GetParam(), Arithmetic::exact, tiles, x, 40, kOutputs, k, true),
            stored_product(GetParam(), Arithmetic::exact, blocks, x, 40, kOutputs, k));
}

std::vector<Case> interleaved_cases() {
  std::vector<Case> cases = all_cases();
  std::erase_if(cases, [](const Case& c) { return !can_interleave(c.dtype); });
  return cases;
}
INSTANTIATE_TEST_SUITE_P(AllTypes, Interleaved, ::testing::ValuesIn(interleaved_cases()), [](const auto& test) {
  return std::string(isa_name(test.param.isa)) + "_" + std::string(name_of(test.param.dtype));
});

// Two tensors of different types in one matrix, as gate and up lie in a file; `up` begins at a multiple of 32.
TEST(StoredMatrix, HoldsPiecesOfDifferentTypes) {
  constexpr int kInputs = 256, kWidth = 40, kUp = 64, kRows = 3;
  const auto gate = random_blocks(DType::q4_k, kWidth, kInputs, 8), up = random_blocks(DType::q8_0, kWidth, kInputs, 9);
  const auto x = random_values<float>(kRows * kInputs, 10);
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    testing::Machine machine(best_isa(), arithmetic, 2);
    PackedMatrix matrix;
    const StoredRows pieces[] = {{DType::q4_k, gate.data(), size_bytes(DType::q4_k, kInputs), 0, kWidth},
                                 {DType::q8_0, up.data(), size_bytes(DType::q8_0, kInputs), kUp, kWidth}};
    matrix.refer(arithmetic, kUp + kWidth, kInputs, pieces);
    std::vector<float> y(kRows * (kUp + kWidth));
    matmul(machine.compute, {.weights = &matrix,
                             .x = x.data(),
                             .x_stride = kInputs,
                             .y = y.data(),
                             .y_stride = kUp + kWidth,
                             .rows = kRows});
    const auto whole_gate = product(x, values_of(DType::q4_k, gate, kWidth, kInputs), kRows, kWidth, kInputs),
               whole_up = product(x, values_of(DType::q8_0, up, kWidth, kInputs), kRows, kWidth, kInputs);
    std::vector<float> found_gate, found_up;
    for (int r = 0; r < kRows; ++r)
      for (int i = 0; i < kWidth; ++i) {
        found_gate.push_back(y[static_cast<std::size_t>(r * (kUp + kWidth) + i)]);
        found_up.push_back(y[static_cast<std::size_t>(r * (kUp + kWidth) + kUp + i)]);
      }
    EXPECT_LT(difference(found_gate, whole_gate), 2e-2);
    EXPECT_LT(difference(found_up, whole_up), 2e-2);
  }
}

}  // namespace
}  // namespace hadal
