#include "formats/gguf_writer.h"

#include <cstring>
#include <set>

#include "base/check.h"

namespace hadal {
namespace {

constexpr std::uint64_t kAlignment = 32;

template <class T>
void put(std::string& to, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  to.append(bytes, sizeof(T));
}
void put_text(std::string& to, std::string_view text) {
  put(to, static_cast<std::uint64_t>(text.size()));
  to += text;
}
std::uint64_t padding(std::uint64_t size) {
  return (kAlignment - size % kAlignment) % kAlignment;
}

}  // namespace

void GgufKeys::begin(std::string_view key, GgufType type) {
  names_.emplace_back(key);
  put_text(bytes_, key);
  put(bytes_, static_cast<std::uint32_t>(type));
}

GgufKeys& GgufKeys::string(std::string_view key, std::string_view value) {
  begin(key, GgufType::string);
  put_text(bytes_, value);
  return *this;
}
GgufKeys& GgufKeys::u32(std::string_view key, std::uint32_t value) {
  begin(key, GgufType::u32);
  put(bytes_, value);
  return *this;
}
GgufKeys& GgufKeys::f32(std::string_view key, float value) {
  begin(key, GgufType::f32);
  put(bytes_, value);
  return *this;
}
GgufKeys& GgufKeys::boolean(std::string_view key, bool value) {
  begin(key, GgufType::boolean);
  put(bytes_, static_cast<std::uint8_t>(value));
  return *this;
}
GgufKeys& GgufKeys::strings(std::string_view key, std::span<const std::string> values) {
  begin(key, GgufType::array);
  put(bytes_, static_cast<std::uint32_t>(GgufType::string));
  put(bytes_, static_cast<std::uint64_t>(values.size()));
  for (const std::string& value : values) put_text(bytes_, value);
  return *this;
}
GgufKeys& GgufKeys::i32s(std::string_view key, std::span<const std::int32_t> values) {
  begin(key, GgufType::array);
  put(bytes_, static_cast<std::uint32_t>(GgufType::i32));
  put(bytes_, static_cast<std::uint64_t>(values.size()));
  for (const std::int32_t value : values) put(bytes_, value);
  return *this;
}
GgufKeys& GgufKeys::copy(std::string_view key, const GgufValue& value) {
  begin(key, value.is_array ? GgufType::array : value.type);
  if (value.is_array) {
    put(bytes_, static_cast<std::uint32_t>(value.type));
    put(bytes_, value.count);
  }
  bytes_.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
  return *this;
}

Result<GgufWriter> GgufWriter::create(const std::filesystem::path& path, const GgufKeys& keys,
                                      std::vector<TensorDeclaration> tensors) {
  HADAL_CHECK(std::set<std::string>(keys.names().begin(), keys.names().end()).size() == keys.names().size());
  std::string header;
  put(header, std::uint32_t{0x46554747});
  put(header, std::uint32_t{3});
  put(header, static_cast<std::uint64_t>(tensors.size()));
  put(header, keys.count());
  header += keys.bytes();
  std::uint64_t offset = 0;
  std::set<std::string_view> names;
  for (const TensorDeclaration& t : tensors) {
    HADAL_CHECK(names.insert(t.name).second && !t.shape.empty() && t.shape.size() <= 4);
    put_text(header, t.name);
    put(header, static_cast<std::uint32_t>(t.shape.size()));
    for (auto d = t.shape.rbegin(); d != t.shape.rend(); ++d) put(header, static_cast<std::uint64_t>(*d));
    put(header, gguf_type_id({t.dtype, t.interleaved}).value());
    put(header, offset);
    offset += t.data_bytes() + padding(t.data_bytes());
  }
  header.append(padding(header.size()), '\0');
  HADAL_ASSIGN(AtomicFile file, AtomicFile::create(path));
  HADAL_RETURN_IF_ERROR(file.append(header));
  return GgufWriter(std::move(file), std::move(tensors));
}

Status GgufWriter::append(std::span<const std::byte> bytes) {
  if (bytes.empty()) return Done{};
  if (left_bytes_ == 0) {
    HADAL_CHECK(next_ < tensors_.size());
    HADAL_RETURN_IF_ERROR(pad());
    left_bytes_ = tensors_[next_++].data_bytes();
  }
  HADAL_CHECK(bytes.size() <= left_bytes_);
  left_bytes_ -= bytes.size();
  return file_.append(bytes);
}

Status GgufWriter::commit() {
  HADAL_CHECK(left_bytes_ == 0 && next_ == tensors_.size());
  HADAL_RETURN_IF_ERROR(pad());
  return file_.commit();
}

Status GgufWriter::pad() {
  constexpr std::byte kZeros[kAlignment] = {};
  return file_.append(std::span(kZeros, padding(file_.size_bytes())));
}

}  // namespace hadal
