// Element types of weight files, and their way to float.
//
// Data in a file may lie at any offset: everything here loads through memcpy. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace hadal {

enum class DType { f32, f16, bf16, f8_e4m3, f8_e8m0, f64, i8, u8, i32, i64 };

std::size_t size_bytes(DType dtype);
// safetensors' spelling: "BF16".
std::string_view name_of(DType dtype);
std::optional<DType> dtype_of(std::string_view name);
// What name_of can say, for errors: "F32, F16, ...".
std::string_view known_dtypes();
// Everything but the integers.
bool is_floating(DType dtype);

// out[i] = in[i], i in [0, n); f64 is rounded, integers are converted by value. Scales are not applied here.
void convert_to_f32(DType dtype, const std::byte* in, std::size_t n, float* out);
// Integer kinds only (HADAL_CHECK).
void convert_to_i64(DType dtype, const std::byte* in, std::size_t n, std::int64_t* out);

}  // namespace hadal
