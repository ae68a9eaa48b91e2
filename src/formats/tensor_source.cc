#include "formats/tensor_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"
#include "base/interleaved_rows.h"

namespace hadal {

std::int64_t TensorView::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t dimension : shape) product *= dimension;
  return product;
}

std::uint64_t TensorDeclaration::data_bytes() const {
  std::uint64_t elements = 1;
  for (const std::int64_t dimension : shape) {
    HADAL_CHECK(dimension >= 0);
    HADAL_CHECK(!__builtin_mul_overflow(elements, static_cast<std::uint64_t>(dimension), &elements));
  }
  HADAL_CHECK(elements <= 1ull << 58 && (shape.empty() || shape.back() % block_values(dtype) == 0));
  return size_bytes(dtype, elements);
}

std::string shape_text(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string storage_name(const TensorView& tensor) {
  return std::string(name_of(tensor.dtype)) + (tensor.interleaved ? fmt::format(" x{}", kTileRows) : "");
}

void read_rows(const TensorView& tensor, std::int64_t first_row, std::int64_t rows, float* out) {
  const std::size_t width = tensor.shape.size() < 2 ? 1 : static_cast<std::size_t>(tensor.shape.back());
  if (!tensor.interleaved)
    return convert_to_f32(tensor.dtype,
                          tensor.bytes.data() + size_bytes(tensor.dtype, static_cast<std::size_t>(first_row) * width),
                          static_cast<std::size_t>(rows) * width, out);
  const std::size_t row_bytes = size_bytes(tensor.dtype, width);
  std::vector<std::byte> apart(row_bytes);
  for (std::int64_t row = first_row; row < first_row + rows; ++row, out += width) {
    extract_row(tensor.dtype, tensor.bytes.data() + static_cast<std::size_t>(row / kTileRows * kTileRows) * row_bytes,
                row_bytes, static_cast<int>(row % kTileRows), apart.data());
    convert_to_f32(tensor.dtype, apart.data(), width, out);
  }
}

std::vector<float> floats_of(const TensorView& tensor) {
  std::vector<float> out(static_cast<std::size_t>(tensor.elements()));
  if (out.empty()) return out;
  const std::int64_t width = tensor.shape.size() < 2 ? 1 : tensor.shape.back();
  read_rows(tensor, 0, tensor.elements() / width, out.data());
  return out;
}

std::vector<std::int64_t> integers_of(const TensorView& tensor) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(tensor.elements()));
  convert_to_i64(tensor.dtype, tensor.bytes.data(), out.size(), out.data());
  return out;
}

}  // namespace hadal
