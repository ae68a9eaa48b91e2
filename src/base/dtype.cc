#include "base/dtype.h"

#include <array>
#include <cstring>
#include <string>

#include "base/bf16.h"
#include "base/block_formats.h"
#include "base/check.h"
#include "base/f16.h"
#include "base/fp8.h"

namespace hadal {
namespace {

struct Kind {
  DType dtype;
  std::string_view name;
  int values, bytes;  // of a block
};
constexpr std::array kKinds = std::to_array<Kind>({{DType::f32, "F32", 1, 4},
                                                   {DType::f16, "F16", 1, 2},
                                                   {DType::bf16, "BF16", 1, 2},
                                                   {DType::f8_e4m3, "F8_E4M3", 1, 1},
                                                   {DType::f8_e8m0, "F8_E8M0", 1, 1},
                                                   {DType::f64, "F64", 1, 8},
                                                   {DType::i8, "I8", 1, 1},
                                                   {DType::u8, "U8", 1, 1},
                                                   {DType::i16, "I16", 1, 2},
                                                   {DType::i32, "I32", 1, 4},
                                                   {DType::i64, "I64", 1, 8},
                                                   {DType::q4_0, "Q4_0", 32, 18},
                                                   {DType::q4_1, "Q4_1", 32, 20},
                                                   {DType::q5_0, "Q5_0", 32, 22},
                                                   {DType::q5_1, "Q5_1", 32, 24},
                                                   {DType::q8_0, "Q8_0", 32, 34},
                                                   {DType::q2_k, "Q2_K", 256, 84},
                                                   {DType::q3_k, "Q3_K", 256, 110},
                                                   {DType::q4_k, "Q4_K", 256, 144},
                                                   {DType::q5_k, "Q5_K", 256, 176},
                                                   {DType::q6_k, "Q6_K", 256, 210},
                                                   {DType::iq4_nl, "IQ4_NL", 32, 18},
                                                   {DType::iq4_xs, "IQ4_XS", 256, 136},
                                                   {DType::iq3_s, "IQ3_S", 256, 110},
                                                   {DType::iq3_xxs, "IQ3_XXS", 256, 98},
                                                   {DType::iq2_s, "IQ2_S", 256, 82},
                                                   {DType::iq2_xs, "IQ2_XS", 256, 74},
                                                   {DType::iq2_xxs, "IQ2_XXS", 256, 66},
                                                   {DType::iq1_s, "IQ1_S", 256, 50},
                                                   {DType::iq1_m, "IQ1_M", 256, 56},
                                                   {DType::tq1_0, "TQ1_0", 256, 54},
                                                   {DType::tq2_0, "TQ2_0", 256, 66},
                                                   {DType::mxfp4, "MXFP4", 32, 17}});

const Kind& kind_of(DType dtype) {
  const Kind& kind = kKinds[static_cast<std::size_t>(dtype)];
  HADAL_CHECK(kind.dtype == dtype);
  return kind;
}

// Calls out[i] = convert(in[i]), each in[i] loaded as a T from any address.
template <class T, class Out, class Convert>
void convert_each(const std::byte* in, std::size_t n, Out* out, Convert convert) {
  for (std::size_t i = 0; i < n; ++i) {
    T x;
    std::memcpy(&x, in + i * sizeof(T), sizeof(T));
    out[i] = convert(x);
  }
}

template <class T, class Out>
void cast_each(const std::byte* in, std::size_t n, Out* out) {
  convert_each<T>(in, n, out, [](T x) { return static_cast<Out>(x); });
}

}  // namespace

bool is_block(DType dtype) {
  return kind_of(dtype).values > 1;
}
int block_values(DType dtype) {
  return kind_of(dtype).values;
}
int block_bytes(DType dtype) {
  return kind_of(dtype).bytes;
}

std::size_t size_bytes(DType dtype, std::size_t elements) {
  const Kind& kind = kind_of(dtype);
  const std::size_t values = static_cast<std::size_t>(kind.values);
  HADAL_CHECK(elements % values == 0);
  return elements / values * static_cast<std::size_t>(kind.bytes);
}

std::string_view name_of(DType dtype) {
  return kind_of(dtype).name;
}

std::optional<DType> plain_dtype_of(std::string_view name) {
  for (const Kind& kind : kKinds)
    if (kind.values == 1 && kind.name == name) return kind.dtype;
  return std::nullopt;
}

std::string_view known_plain_dtypes() {
  return "F32, F16, BF16, F8_E4M3, F8_E8M0, F64, I8, U8, I16, I32, I64";
}

std::optional<DType> weight_dtype_of(std::string_view name) {
  std::string upper(name);
  for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  for (const Kind& kind : kKinds) {
    const bool weight =
        kind.values > 1 || kind.dtype == DType::f32 || kind.dtype == DType::f16 || kind.dtype == DType::bf16;
    if (weight && kind.name == upper) return kind.dtype;
  }
  return std::nullopt;
}

bool is_floating(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::f16:
    case DType::bf16:
    case DType::f8_e4m3:
    case DType::f8_e8m0:
    case DType::f64:
      return true;
    default:
      return false;
  }
}

void convert_to_f32(DType dtype, const std::byte* in, std::size_t n, float* out) {
  const auto decode = [](auto x) { return to_float(x); };
  switch (dtype) {
    case DType::f32:
      if (n > 0) std::memcpy(out, in, n * sizeof(float));
      return;
    case DType::f16:
      return convert_each<f16>(in, n, out, decode);
    case DType::bf16:
      return convert_each<bf16>(in, n, out, decode);
    case DType::f8_e4m3:
      return convert_each<fp8_e4m3>(in, n, out, decode);
    case DType::f8_e8m0:
      return convert_each<fp8_e8m0>(in, n, out, decode);
    case DType::f64:
      return cast_each<double>(in, n, out);
    case DType::i8:
      return cast_each<std::int8_t>(in, n, out);
    case DType::u8:
      return cast_each<std::uint8_t>(in, n, out);
    case DType::i16:
      return cast_each<std::int16_t>(in, n, out);
    case DType::i32:
      return cast_each<std::int32_t>(in, n, out);
    case DType::i64:
      return cast_each<std::int64_t>(in, n, out);
    default:
      return dequantise(dtype, in, n, out);
  }
}

void convert_to_i64(DType dtype, const std::byte* in, std::size_t n, std::int64_t* out) {
  HADAL_CHECK(!is_floating(dtype) && !is_block(dtype));
  switch (dtype) {
    case DType::i8:
      return cast_each<std::int8_t>(in, n, out);
    case DType::u8:
      return cast_each<std::uint8_t>(in, n, out);
    case DType::i16:
      return cast_each<std::int16_t>(in, n, out);
    case DType::i32:
      return cast_each<std::int32_t>(in, n, out);
    case DType::i64:
      return cast_each<std::int64_t>(in, n, out);
    default:
      return;
  }
}

}  // namespace hadal
