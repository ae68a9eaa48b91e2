#include "formats/dtype.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "base/f16.h"
#include "base/fp8.h"

namespace hadal {
namespace {

struct Kind {
  DType dtype;
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<Kind, 10> kKinds{{{DType::f32, "F32", 4},
                                       {DType::f16, "F16", 2},
                                       {DType::bf16, "BF16", 2},
                                       {DType::f8_e4m3, "F8_E4M3", 1},
                                       {DType::f8_e8m0, "F8_E8M0", 1},
                                       {DType::f64, "F64", 8},
                                       {DType::i8, "I8", 1},
                                       {DType::u8, "U8", 1},
                                       {DType::i32, "I32", 4},
                                       {DType::i64, "I64", 8}}};

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

std::size_t size_bytes(DType dtype) {
  return kind_of(dtype).bytes;
}
std::string_view name_of(DType dtype) {
  return kind_of(dtype).name;
}

std::optional<DType> dtype_of(std::string_view name) {
  const auto found = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& kind) { return kind.name == name; });
  if (found == kKinds.end()) return std::nullopt;
  return found->dtype;
}

std::string_view known_dtypes() {
  return "F32, F16, BF16, F8_E4M3, F8_E8M0, F64, I8, U8, I32, I64";
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
    case DType::i8:
    case DType::u8:
    case DType::i32:
    case DType::i64:
      return false;
  }
  return false;
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
    case DType::i32:
      return cast_each<std::int32_t>(in, n, out);
    case DType::i64:
      return cast_each<std::int64_t>(in, n, out);
  }
}

void convert_to_i64(DType dtype, const std::byte* in, std::size_t n, std::int64_t* out) {
  HADAL_CHECK(!is_floating(dtype));
  switch (dtype) {
    case DType::i8:
      return cast_each<std::int8_t>(in, n, out);
    case DType::u8:
      return cast_each<std::uint8_t>(in, n, out);
    case DType::i32:
      return cast_each<std::int32_t>(in, n, out);
    case DType::i64:
      return cast_each<std::int64_t>(in, n, out);
    default:
      return;
  }
}

}  // namespace hadal
