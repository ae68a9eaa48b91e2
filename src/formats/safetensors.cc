#include "formats/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/json.h"
#include "base/printable.h"

namespace hadal {
namespace {

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference reader
constexpr std::uint64_t kMaxIndexBytes = 256u << 20;    // V3's own index has 9 MB
constexpr std::size_t kMaxDimensions = 16;
constexpr std::string_view kMetadataKey = "__metadata__";

// A non-negative JSON integer that fits an int64.
std::optional<std::int64_t> as_size(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned()) {
    const auto x = value.get<std::uint64_t>();
    if (x > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
    return static_cast<std::int64_t>(x);
  }
  const auto x = value.get<std::int64_t>();
  if (x < 0) return std::nullopt;
  return x;
}

// One entry of the header; `data` is what follows the header in the file.
class EntryParser {
 public:
  EntryParser(std::span<const std::byte> data, std::string_view subject) : data_(data), subject_(subject) {}

  Result<TensorView> parse(const std::string& name, const Json& entry) const {
    if (!entry.is_object()) return error(name, "an object", json_excerpt(entry));
    for (const char* key : {"dtype", "shape", "data_offsets"})
      if (!entry.contains(key)) return error(name, fmt::format("a \"{}\"", key), "none");
    TensorView tensor;
    HADAL_RETURN_IF_ERROR(parse_dtype(name, entry["dtype"], tensor));
    HADAL_ASSIGN(const std::uint64_t expected_bytes, parse_shape(name, entry["shape"], tensor));
    HADAL_RETURN_IF_ERROR(parse_offsets(name, entry["data_offsets"], tensor));
    if (tensor.bytes.size() != expected_bytes)
      return error(name,
                   fmt::format("{} bytes for {} {}", expected_bytes, name_of(tensor.dtype), shape_text(tensor.shape)),
                   fmt::format("{}", tensor.bytes.size()));
    return tensor;
  }

 private:
  Error error(const std::string& name, std::string_view expected, std::string_view found) const {
    return Error{ErrorKind::invalid,
                 fmt::format("{}: tensor {}: expected {}, found {}", subject_, printable(name), expected, found)};
  }

  Status parse_dtype(const std::string& name, const Json& value, TensorView& tensor) const {
    const auto dtype = value.is_string() ? plain_dtype_of(value.get_ref<const std::string&>()) : std::nullopt;
    if (!dtype)
      return Error{ErrorKind::unsupported, fmt::format("{}: tensor {}: expected a dtype of {}, found {}", subject_,
                                                       printable(name), known_plain_dtypes(), json_excerpt(value))};
    tensor.dtype = *dtype;
    return Done{};
  }

  // Returns the bytes that shape and dtype need.
  Result<std::uint64_t> parse_shape(const std::string& name, const Json& value, TensorView& tensor) const {
    if (!value.is_array() || value.size() > kMaxDimensions)
      return error(name, fmt::format("a shape of at most {} dimensions", kMaxDimensions), json_excerpt(value));
    std::uint64_t bytes = static_cast<std::uint64_t>(block_bytes(tensor.dtype));
    for (const Json& item : value) {
      const auto dimension = as_size(item);
      if (!dimension) return error(name, "dimensions that are whole and not negative", json_excerpt(value));
      if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(*dimension), &bytes) ||
          bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return error(name, "a shape whose size fits 63 bits", json_excerpt(value));
      tensor.shape.push_back(*dimension);
    }
    return bytes;
  }

  Status parse_offsets(const std::string& name, const Json& value, TensorView& tensor) const {
    const bool is_pair = value.is_array() && value.size() == 2;
    const auto begin = is_pair ? as_size(value[0]) : std::nullopt, end = is_pair ? as_size(value[1]) : std::nullopt;
    if (!begin || !end || *begin > *end)
      return error(name, "data_offsets [begin, end], ascending", json_excerpt(value));
    if (static_cast<std::uint64_t>(*end) > data_.size())
      return error(name, fmt::format("data_offsets within the {} bytes of data", data_.size()), json_excerpt(value));
    tensor.bytes = data_.subspan(static_cast<std::size_t>(*begin), static_cast<std::size_t>(*end - *begin));
    return Done{};
  }

  std::span<const std::byte> data_;
  std::string_view subject_;
};

Status parse_metadata(const Json& value, std::string_view subject, std::map<std::string, std::string>& metadata) {
  const bool strings =
      value.is_object() && std::all_of(value.begin(), value.end(), [](const Json& x) { return x.is_string(); });
  if (!strings)
    return Error{ErrorKind::invalid, fmt::format("{}: {}: expected an object of strings, found {}", subject,
                                                 kMetadataKey, json_excerpt(value))};
  for (const auto& [key, text] : value.items()) metadata[key] = text.get<std::string>();
  return Done{};
}

// Laid side by side in file order, the tensors cover the data exactly.
Status check_cover(const SafetensorsHeader& header, std::span<const std::byte> data, std::string_view subject) {
  std::vector<const SafetensorsHeader::Entry*> order;
  order.reserve(header.entries.size());
  for (const auto& entry : header.entries) order.push_back(&entry);
  const auto begin_of = [&](const SafetensorsHeader::Entry* entry) {
    return static_cast<std::size_t>(entry->tensor.bytes.data() - data.data());
  };
  std::sort(order.begin(), order.end(),
            [&](const auto* a, const auto* b) {  // an empty tensor stands before its neighbour
              return std::pair(begin_of(a), a->tensor.bytes.size()) < std::pair(begin_of(b), b->tensor.bytes.size());
            });
  std::size_t end = 0;
  for (const auto* entry : order) {
    const std::size_t begin = begin_of(entry);
    if (begin != end)
      return Error{ErrorKind::invalid,
                   fmt::format("{}: tensor {}: expected data from byte {} ({}), found byte {}", subject,
                               printable(entry->name), end, begin < end ? "tensors overlap" : "there is a gap", begin)};
    end = begin + entry->tensor.bytes.size();
  }
  if (end != data.size())
    return Error{ErrorKind::invalid, fmt::format("{}: expected {} bytes of data, found {}", subject, end, data.size())};
  return Done{};
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file, std::string_view subject) {
  if (file.size() < 8)
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected a safetensors header, found {} bytes", subject, file.size())};
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), 8);  // little-endian, as is every machine hadal runs on
  if (header_bytes > kMaxHeaderBytes)
    return Error{ErrorKind::invalid, fmt::format("{}: expected a safetensors header of at most {} bytes, found {}",
                                                 subject, kMaxHeaderBytes, header_bytes)};
  if (header_bytes > file.size() - 8)
    return Error{ErrorKind::invalid, fmt::format("{}: truncated: expected a header of {} bytes, found {} bytes in all",
                                                 subject, header_bytes, file.size())};
  const auto text = std::string_view(reinterpret_cast<const char*>(file.data()) + 8, header_bytes);
  const auto data = file.subspan(8 + header_bytes);
  HADAL_ASSIGN(const Json json, parse_json(text, fmt::format("{}: header", subject)));
  if (!json.is_object())
    return Error{ErrorKind::invalid,
                 fmt::format("{}: header: expected an object, found {}", subject, json_excerpt(json))};

  SafetensorsHeader header;
  const EntryParser parser(data, subject);
  for (const auto& [name, entry] : json.items()) {  // nlohmann's objects are sorted by key
    if (name == kMetadataKey) {
      HADAL_RETURN_IF_ERROR(parse_metadata(entry, subject, header.metadata));
      continue;
    }
    HADAL_ASSIGN(TensorView tensor, parser.parse(name, entry));
    header.entries.push_back({name, std::move(tensor)});
  }
  HADAL_RETURN_IF_ERROR(check_cover(header, data, subject));
  return header;
}

Result<Safetensors> Safetensors::open(const std::filesystem::path& path) {
  std::error_code ignored;
  std::filesystem::path file = path;
  if (std::filesystem::is_directory(path, ignored)) {
    file = path / kSafetensorsFile;
    if (!std::filesystem::exists(file, ignored)) {
      if (std::filesystem::exists(path / kSafetensorsIndexFile, ignored)) return open_shards(path);
      return Error{ErrorKind::not_found, fmt::format("{}: expected {} or {}, found neither", path.string(),
                                                     kSafetensorsFile, kSafetensorsIndexFile)};
    }
  }
  Safetensors source;
  source.subject_ = file.string();
  HADAL_ASSIGN(SafetensorsHeader header, source.map_file(file));
  source.metadata_ = std::move(header.metadata);
  for (auto& [name, tensor] : header.entries) source.tensors_.emplace(std::move(name), std::move(tensor));
  return source;
}

Result<Safetensors> Safetensors::open_shards(const std::filesystem::path& directory) {
  const std::filesystem::path index_path = directory / kSafetensorsIndexFile;
  const std::string index_subject(kSafetensorsIndexFile);
  HADAL_ASSIGN(const Json index, read_json_file(index_path, kMaxIndexBytes));
  const auto weight_map = index.is_object() ? index.find("weight_map") : index.end();
  if (weight_map == index.end() || !weight_map->is_object())
    return Error{ErrorKind::invalid, fmt::format("{}: expected an object \"weight_map\", found {}", index_path.string(),
                                                 weight_map == index.end() ? "none" : json_excerpt(*weight_map))};

  std::map<std::string, std::vector<std::string>> names_of_shard;
  for (const auto& [name, shard] : weight_map->items()) {
    const std::string shard_name = shard.is_string() ? shard.get<std::string>() : "";
    // A name only: an index from elsewhere must not point out of its directory.
    if (shard_name.empty() || shard_name != std::filesystem::path(shard_name).filename() || shard_name == "..")
      return Error{ErrorKind::invalid,
                   fmt::format("{}: tensor {}: expected the name of a file beside the index, found {}",
                               index_path.string(), printable(name), json_excerpt(shard))};
    names_of_shard[shard_name].push_back(name);
  }

  Safetensors source;
  source.subject_ = index_path.string();
  for (const auto& [shard_name, names] : names_of_shard) {
    std::error_code ignored;
    if (!std::filesystem::exists(directory / shard_name, ignored))
      return Error{ErrorKind::not_found,
                   fmt::format("{}: expected this shard of {}, found no such file",
                               printable((directory / shard_name).string()), kSafetensorsIndexFile)};
    HADAL_ASSIGN(SafetensorsHeader header, source.map_file(directory / shard_name));
    if (source.metadata_.empty()) source.metadata_ = std::move(header.metadata);
    for (const std::string& name : names) {
      const auto entry = std::lower_bound(header.entries.begin(), header.entries.end(), name,
                                          [](const auto& a, const std::string& b) { return a.name < b; });
      if (entry == header.entries.end() || entry->name != name)
        return Error{ErrorKind::not_found, fmt::format("{}: tensor {}: expected here by {}, found none",
                                                       printable(shard_name), printable(name), kSafetensorsIndexFile)};
      source.tensors_.emplace(name, entry->tensor);
    }
  }
  return source;
}

Result<SafetensorsHeader> Safetensors::map_file(const std::filesystem::path& path) {
  HADAL_ASSIGN(MappedFile mapped, MappedFile::open(path));
  const auto [file, inserted] = files_.emplace(path.filename().string(), std::move(mapped));
  HADAL_CHECK(inserted);
  HADAL_ASSIGN(SafetensorsHeader header, parse_safetensors(file->second.bytes(), path.string()));
  for (auto& entry : header.entries) entry.tensor.file = file->first;
  return header;
}

std::optional<TensorView> Safetensors::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> Safetensors::names() const {
  std::vector<std::string> all;
  all.reserve(tensors_.size());
  for (const auto& [name, tensor] : tensors_) all.push_back(name);
  return all;
}

std::uint64_t Safetensors::size_bytes() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& [name, file] : files_) sum += file.bytes().size();
  return sum;
}

}  // namespace hadal
