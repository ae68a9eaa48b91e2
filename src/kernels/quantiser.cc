#include "kernels/quantiser.h"

#include <algorithm>
#include <utility>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "base/f16.h"
#include "kernels/kernel_table.h"

namespace hadal {
namespace {

constexpr std::array kTypes = {DType::f32,  DType::f16,  DType::bf16, DType::q8_0, DType::q4_0,
                               DType::q4_1, DType::q5_0, DType::q5_1, DType::q2_k, DType::q3_k,
                               DType::q4_k, DType::q5_k, DType::q6_k};

bool is_plain(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

void store_plain(DType to, const float* values, std::size_t n, std::byte* out) {
  if (to == DType::f32) {
    std::memcpy(out, values, n * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t bits = to == DType::f16 ? to_f16(values[i]).bits : to_bf16(values[i]).bits;
    std::memcpy(out + 2 * i, &bits, 2);
  }
}

}  // namespace

bool can_quantise(DType dtype) {
  return std::find(kTypes.begin(), kTypes.end(), dtype) != kTypes.end();
}

std::vector<std::string> quantisable_types() {
  std::vector<std::string> all;
  for (const DType each : kTypes) {
    std::string name(name_of(each));
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    all.push_back(std::move(name));
  }
  return all;
}

void quantise(const KernelTable& kernels, DType to, const float* values, std::size_t n, const float* importance,
              std::byte* out) {
  if (is_plain(to)) return store_plain(to, values, n, out);
  const Quantise blocks = kernels.quantise(to);
  HADAL_CHECK(blocks != nullptr);
  HADAL_CHECK(n % static_cast<std::size_t>(block_values(to)) == 0);
  blocks(values, importance, n, out);
}

void restore_row(const KernelTable& kernels, DType from, const std::byte* row, std::size_t n, float* values) {
  if (const StoredKernels* stored = kernels.stored(from))
    stored->values(row, static_cast<int>(n), values);
  else
    convert_to_f32(from, row, n, values);
}

std::size_t first_not_finite(const float* values, std::size_t n) {
  const auto finite = [](float x) { return (std::bit_cast<std::uint32_t>(x) & 0x7f800000u) != 0x7f800000u; };
  return static_cast<std::size_t>(std::find_if_not(values, values + n, finite) - values);
}

}  // namespace hadal
