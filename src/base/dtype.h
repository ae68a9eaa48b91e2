// Element types of weight files, and their way to float.
//
// Plain types store each value by itself. Block types (GGUF's: q8_0 and what follows) store a fixed number of
// neighbouring values of a row together: codes of a few bits and their common scales (block_formats.h, MODELS.md 9.3).
// Data in a file may lie at any offset: everything here loads through memcpy. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace hadal {

enum class DType {
  f32,
  f16,
  bf16,
  f8_e4m3,
  f8_e8m0,
  f64,
  i8,
  u8,
  i16,
  i32,
  i64,  // plain
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,  // blocks
  iq4_nl,
  iq4_xs,
  iq3_s,
  iq3_xxs,
  iq2_s,
  iq2_xs,
  iq2_xxs,
  iq1_s,
  iq1_m,
  tq1_0,
  tq2_0,
  mxfp4,
};

bool is_block(DType dtype);
// A block: 1 value for plain types, 32 or 256 for block types, and the bytes that it takes.
int block_values(DType dtype);
int block_bytes(DType dtype);
// Of `elements` values, a multiple of block_values(dtype).
std::size_t size_bytes(DType dtype, std::size_t elements);

// "BF16", "Q4_K": safetensors' and GGUF's spelling.
std::string_view name_of(DType dtype);
// Plain types by safetensors' names (it has no blocks).
std::optional<DType> plain_dtype_of(std::string_view name);
std::string_view known_plain_dtypes();  // for errors: "F32, F16, ..."
// Block types, f32, f16 and bf16 by name, in either case: "q4_k", "BF16".
std::optional<DType> weight_dtype_of(std::string_view name);
// Plain and no integer.
bool is_floating(DType dtype);

// out[i] = in[i], i in [0, n), n a multiple of block_values(dtype); f64 is rounded, integers are converted by value.
// Scales that are tensors of their own (fp8) are not applied here.
void convert_to_f32(DType dtype, const std::byte* in, std::size_t n, float* out);
// Integer kinds only (HADAL_CHECK).
void convert_to_i64(DType dtype, const std::byte* in, std::size_t n, std::int64_t* out);

}  // namespace hadal
