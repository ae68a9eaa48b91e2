// Hostile weight files: whatever the bytes, an error or views that lie inside them, side by side.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "formats/safetensors.h"

namespace {

void parse(std::span<const std::byte> file) {
  const auto header = hadal::parse_safetensors(file, "fuzz");
  if (!header.ok()) {
    if (header.error().message.empty() || header.error().message.find('\n') != std::string::npos) std::abort();
    return;
  }
  std::uint64_t sum = 0;
  for (const auto& [name, tensor] : header->entries) {
    const std::byte *begin = tensor.bytes.data(), *end = begin + tensor.bytes.size();
    if (begin < file.data() || end > file.data() + file.size()) std::abort();
    if (tensor.elements() < 0) std::abort();
    if (tensor.bytes.size() <= 4096) hadal::floats_of(tensor);
    sum += tensor.bytes.size();
  }
  if (sum > file.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  parse(bytes);
  // Most random files die at their length; so once more as a header of the right length before 64 bytes of data.
  std::vector<std::byte> file(8 + size + 64);
  const std::uint64_t header_bytes = size;
  std::memcpy(file.data(), &header_bytes, 8);
  if (size > 0) std::memcpy(file.data() + 8, data, size);
  parse(file);
  return 0;
}
