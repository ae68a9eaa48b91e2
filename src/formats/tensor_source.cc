#include "formats/tensor_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"

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

std::vector<float> floats_of(const TensorView& tensor) {
  std::vector<float> out(static_cast<std::size_t>(tensor.elements()));
  convert_to_f32(tensor.dtype, tensor.bytes.data(), out.size(), out.data());
  return out;
}

std::vector<std::int64_t> integers_of(const TensorView& tensor) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(tensor.elements()));
  convert_to_i64(tensor.dtype, tensor.bytes.data(), out.size(), out.data());
  return out;
}

}  // namespace hadal
