// Hostile GGUF files: whatever the bytes, an error of one line, or keys and views that lie inside the file.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "formats/gguf.h"

namespace {

void parse(std::span<const std::byte> file) {
  const auto gguf = hadal::Gguf::parse(file, "fuzz");
  if (!gguf.ok()) {
    if (gguf.error().message.empty() || gguf.error().message.find('\n') != std::string::npos) std::abort();
    return;
  }
  std::uint64_t sum = 0;
  for (const std::string& name : gguf->names()) {
    const hadal::TensorView tensor = gguf->find(name).value();
    const std::byte *begin = tensor.bytes.data(), *end = begin + tensor.bytes.size();
    if (begin < file.data() || end > file.data() + file.size()) std::abort();
    if (tensor.elements() <= 0) std::abort();
    if (tensor.elements() <= 4096) hadal::floats_of(tensor);
    sum += tensor.bytes.size();
  }
  if (sum > file.size()) std::abort();
  for (const auto& [key, value] : gguf->values()) {
    (void)gguf->string(key);
    (void)gguf->integer(key);
    (void)gguf->number(key);
    (void)gguf->boolean(key);
    (void)gguf->strings(key);
    (void)gguf->integers(key);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  parse(bytes);
  // Most random files die at their first word: so once more behind a right beginning, before 128 bytes of data.
  std::vector<std::byte> file(8 + size + 128);
  std::memcpy(file.data(), "GGUF\3\0\0\0", 8);
  if (size > 0) std::memcpy(file.data() + 8, data, size);
  parse(file);
  return 0;
}
