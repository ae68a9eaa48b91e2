#include "base/block_formats.h"

#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/f16.h"

namespace hadal {
namespace {

float half_at(const std::byte* p) {
  f16 x;
  std::memcpy(&x, p, sizeof(x));
  return to_float(x);
}

void dequantise_q8_0(const std::byte* in, float* out) {
  const float d = half_at(in);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<std::int8_t>(in[2 + i]));
}

}  // namespace

void dequantise(DType dtype, const std::byte* in, std::size_t n, float* out) {
  HADAL_CHECK(is_block(dtype) && n % static_cast<std::size_t>(block_values(dtype)) == 0);
  const std::size_t values = static_cast<std::size_t>(block_values(dtype)),
                    bytes = static_cast<std::size_t>(block_bytes(dtype));
  for (std::size_t i = 0; i < n; i += values, in += bytes, out += values) {
    switch (dtype) {
      case DType::q8_0:
        dequantise_q8_0(in, out);
        break;
      default:
        HADAL_CHECK(false);
    }
  }
}

}  // namespace hadal
