#include "formats/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/interleaved_rows.h"
#include "base/printable.h"

namespace hadal {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kMaxKeys = 1u << 20, kMaxTensors = 2u << 20, kMaxNameBytes = 65535, kMaxAlignment = 1u << 20;
constexpr std::uint32_t kMaxDimensions = 4;
constexpr int kMaxFiles = 10'000;

struct TypeId {
  std::uint32_t id;
  DType dtype;
};
constexpr std::array kTypeIds = std::to_array<TypeId>(
    {{0, DType::f32},    {1, DType::f16},     {2, DType::q4_0},     {3, DType::q4_1},    {6, DType::q5_0},
     {7, DType::q5_1},   {8, DType::q8_0},    {10, DType::q2_k},    {11, DType::q3_k},   {12, DType::q4_k},
     {13, DType::q5_k},  {14, DType::q6_k},   {16, DType::iq2_xxs}, {17, DType::iq2_xs}, {18, DType::iq3_xxs},
     {19, DType::iq1_s}, {20, DType::iq4_nl}, {21, DType::iq3_s},   {22, DType::iq2_s},  {23, DType::iq4_xs},
     {24, DType::i8},    {25, DType::i16},    {26, DType::i32},     {27, DType::i64},    {28, DType::f64},
     {29, DType::iq1_m}, {30, DType::bf16},   {34, DType::tq1_0},   {35, DType::tq2_0},  {39, DType::mxfp4}});

// The rows' type in tiles: far above all that GGUF numbers, and no other program takes it for something else.
constexpr std::uint32_t kFirstInterleaved = 1000;

// Bytes of one element; 0: it says its own length.
std::uint64_t element_bytes(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
      return 8;
    default:
      return 0;
  }
}

bool is_integer(GgufType type) {
  return type != GgufType::f32 && type != GgufType::f64 && type != GgufType::boolean && type != GgufType::string &&
         type != GgufType::array;
}

template <class T>
T load_as(const std::byte* p) {
  T x;
  std::memcpy(&x, p, sizeof(T));
  return x;
}

// An integer of any width; nullopt where 63 bits do not hold it.
std::optional<std::int64_t> integer_at(GgufType type, const std::byte* p) {
  switch (type) {
    case GgufType::u8:
      return load_as<std::uint8_t>(p);
    case GgufType::i8:
      return load_as<std::int8_t>(p);
    case GgufType::u16:
      return load_as<std::uint16_t>(p);
    case GgufType::i16:
      return load_as<std::int16_t>(p);
    case GgufType::u32:
      return load_as<std::uint32_t>(p);
    case GgufType::i32:
      return load_as<std::int32_t>(p);
    case GgufType::i64:
      return load_as<std::int64_t>(p);
    case GgufType::u64: {
      const auto x = load_as<std::uint64_t>(p);
      if (x <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return static_cast<std::int64_t>(x);
      return std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

std::string_view name_of(GgufType type) {
  constexpr std::string_view kNames[] = {"uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
                                         "bool",  "string", "array",  "uint64", "int64",  "float64"};
  return kNames[static_cast<std::size_t>(type)];
}

std::string_view text_at(const std::byte* p, std::uint64_t size) {
  return {reinterpret_cast<const char*>(p), static_cast<std::size_t>(size)};
}

}  // namespace

std::optional<std::uint32_t> gguf_type_id(GgufStorage storage) {
  if (storage.interleaved && !can_interleave(storage.dtype)) return std::nullopt;
  for (const TypeId& each : kTypeIds)
    if (each.dtype == storage.dtype) return each.id + (storage.interleaved ? kFirstInterleaved : 0);
  return std::nullopt;
}

std::optional<GgufStorage> storage_of_gguf(std::uint32_t type_id) {
  const bool interleaved = type_id >= kFirstInterleaved;
  if (interleaved) type_id -= kFirstInterleaved;
  for (const TypeId& each : kTypeIds)
    if (each.id == type_id && (!interleaved || can_interleave(each.dtype))) return GgufStorage{each.dtype, interleaved};
  return std::nullopt;
}

// One file from front to back. Every step asks first whether the bytes are there.
class GgufParser {
 public:
  GgufParser(std::span<const std::byte> file, std::string_view subject) : file_(file), subject_(subject) {}

  Status parse(std::string_view file_name, bool with_values, Gguf& into) {
    HADAL_ASSIGN(const auto magic, take<std::uint32_t>("magic"));
    if (magic != kMagic) return error("magic", "GGUF", fmt::format("{:#010x}", magic));
    HADAL_ASSIGN(const auto version, take<std::uint32_t>("version"));
    if (version != 2 && version != 3)
      return error("version", "2 or 3 (little-endian)", fmt::format("{}", version), ErrorKind::unsupported);
    HADAL_ASSIGN(const auto tensors, take<std::uint64_t>("tensor count"));
    HADAL_ASSIGN(const auto keys, take<std::uint64_t>("key count"));
    constexpr std::uint64_t kLeastKey = 8 + 4 + 1, kLeastTensor = 8 + 4 + 8 + 4 + 8;
    HADAL_RETURN_IF_ERROR(check_count("key count", keys, std::min(kMaxKeys, left() / kLeastKey)));
    HADAL_RETURN_IF_ERROR(check_count("tensor count", tensors, std::min(kMaxTensors, left() / kLeastTensor)));
    for (std::uint64_t i = 0; i < keys; ++i) HADAL_RETURN_IF_ERROR(parse_key(i));
    HADAL_RETURN_IF_ERROR(find_alignment());
    std::vector<Placed> placed;
    for (std::uint64_t i = 0; i < tensors; ++i) HADAL_RETURN_IF_ERROR(parse_tensor(i, placed));
    HADAL_RETURN_IF_ERROR(place(placed, file_name, into));
    if (with_values) into.values_ = std::move(values_);
    return Done{};
  }

 private:
  struct Placed {
    std::string_view name;
    TensorView tensor;
    std::uint64_t offset, bytes;
  };

  Error error(std::string_view what, std::string_view expected, std::string_view found,
              ErrorKind kind = ErrorKind::invalid) const {
    return Error{kind, fmt::format("{}: {}: expected {}, found {}", subject_, what, expected, found)};
  }
  std::uint64_t left() const { return file_.size() - at_; }

  Result<std::span<const std::byte>> take_bytes(std::uint64_t count, std::string_view what) {
    if (count > left())
      return error(what, fmt::format("{} bytes at {}", count, at_),
                   fmt::format("{} until the end of the file", left()));
    const auto bytes = file_.subspan(at_, count);
    at_ += count;
    return bytes;
  }
  template <class T>
  Result<T> take(std::string_view what) {
    HADAL_ASSIGN(const auto bytes, take_bytes(sizeof(T), what));
    return load_as<T>(bytes.data());
  }
  Result<std::string_view> take_text(std::string_view what, std::uint64_t max_bytes) {
    HADAL_ASSIGN(const auto size, take<std::uint64_t>(what));
    if (size > max_bytes) return error(what, fmt::format("at most {} bytes", max_bytes), fmt::format("{}", size));
    HADAL_ASSIGN(const auto bytes, take_bytes(size, what));
    return text_at(bytes.data(), size);
  }
  Status check_count(std::string_view what, std::uint64_t count, std::uint64_t most) const {
    if (count <= most) return Done{};
    return error(what, fmt::format("at most {}, which is what the file could hold", most), fmt::format("{}", count));
  }

  Status parse_key(std::uint64_t number) {
    HADAL_ASSIGN(const auto key, take_text(fmt::format("key {}", number), kMaxNameBytes));
    const std::string what = fmt::format("key {}", printable(key));
    HADAL_ASSIGN(auto type, take_type(what));
    GgufValue value;
    if (type == GgufType::array) {
      value.is_array = true;
      HADAL_ASSIGN(type, take_type(what));
      if (type == GgufType::array)
        return error(what, "an array of numbers or strings", "an array of arrays", ErrorKind::unsupported);
      HADAL_ASSIGN(value.count, take<std::uint64_t>(what));
    }
    value.type = type;
    HADAL_ASSIGN(value.bytes, take_elements(type, value.count, what));
    if (!values_.emplace(key, value).second) return error(what, "it once", "it twice");
    return Done{};
  }

  Result<GgufType> take_type(std::string_view what) {
    HADAL_ASSIGN(const auto type, take<std::uint32_t>(what));
    if (type > static_cast<std::uint32_t>(GgufType::f64))
      return error(what, "a value type from 0 to 12", fmt::format("{}", type), ErrorKind::unsupported);
    return static_cast<GgufType>(type);
  }

  Result<std::span<const std::byte>> take_elements(GgufType type, std::uint64_t count, std::string_view what) {
    if (const std::uint64_t each = element_bytes(type)) {
      HADAL_RETURN_IF_ERROR(check_count(what, count, left() / each));
      return take_bytes(count * each, what);
    }
    HADAL_RETURN_IF_ERROR(check_count(what, count, left() / 8));
    const std::uint64_t begin = at_;
    for (std::uint64_t i = 0; i < count; ++i)
      if (auto text = take_text(what, file_.size()); !text.ok()) return std::move(text).error();
    return file_.subspan(begin, at_ - begin);
  }

  Status find_alignment() {
    const auto found = values_.find("general.alignment");
    if (found == values_.end()) return Done{};
    const GgufValue& value = found->second;
    const auto alignment = value.is_array ? std::nullopt : integer_at(value.type, value.bytes.data());
    const bool sane = alignment && *alignment > 0 && static_cast<std::uint64_t>(*alignment) <= kMaxAlignment &&
                      (*alignment & (*alignment - 1)) == 0;
    if (!sane)
      return error("key general.alignment", fmt::format("a power of two up to {}", kMaxAlignment),
                   alignment ? fmt::format("{}", *alignment) : std::string(name_of(value.type)));
    alignment_ = static_cast<std::uint64_t>(*alignment);
    return Done{};
  }

  Status parse_tensor(std::uint64_t number, std::vector<Placed>& placed) {
    Placed t{};
    HADAL_ASSIGN(t.name, take_text(fmt::format("tensor {}", number), kMaxNameBytes));
    const std::string what = fmt::format("tensor {}", printable(t.name));
    HADAL_ASSIGN(const auto dimensions, take<std::uint32_t>(what));
    if (dimensions == 0 || dimensions > kMaxDimensions)
      return error(what, fmt::format("1 to {} dimensions", kMaxDimensions), fmt::format("{}", dimensions));
    std::uint64_t elements = 1;
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      HADAL_ASSIGN(const auto dimension, take<std::uint64_t>(what));
      if (dimension == 0 || __builtin_mul_overflow(elements, dimension, &elements) || elements > 1ull << 58)
        return error(what, "dimensions above zero whose product fits 58 bits",
                     fmt::format("{} as number {}", dimension, d));
      t.tensor.shape.insert(t.tensor.shape.begin(),
                            static_cast<std::int64_t>(dimension));  // innermost first in the file
    }
    HADAL_ASSIGN(const auto type, take<std::uint32_t>(what));
    const auto storage = storage_of_gguf(type);
    if (!storage)
      return error(what, "a tensor type that hadal knows", fmt::format("number {}", type), ErrorKind::unsupported);
    const DType dtype = t.tensor.dtype = storage->dtype;
    t.tensor.interleaved = storage->interleaved;
    if (t.tensor.shape.back() % block_values(dtype) != 0)
      return error(what,
                   fmt::format("rows of whole {} blocks of {} values", hadal::name_of(dtype), block_values(dtype)),
                   fmt::format("rows of {}", t.tensor.shape.back()));
    if (t.tensor.interleaved && (dimensions < 2 || t.tensor.shape[dimensions - 2] % kTileRows != 0))
      return error(what, fmt::format("a multiple of {} rows in tiles", kTileRows), shape_text(t.tensor.shape));
    t.bytes = hadal::size_bytes(dtype, elements);
    HADAL_ASSIGN(t.offset, take<std::uint64_t>(what));
    if (t.offset % alignment_ != 0)
      return error(what, fmt::format("an offset that is a multiple of {}", alignment_), fmt::format("{}", t.offset));
    placed.push_back(std::move(t));
    return Done{};
  }

  Status place(std::vector<Placed>& placed, std::string_view file_name, Gguf& into) {
    const std::uint64_t begin = (at_ + alignment_ - 1) / alignment_ * alignment_;
    const std::uint64_t data = begin < file_.size() ? file_.size() - begin : 0;
    for (Placed& t : placed) {
      const std::string what = fmt::format("tensor {}", printable(t.name));
      if (t.offset > data || t.bytes > data - t.offset)
        return error(what, fmt::format("{} bytes at {} of the data", t.bytes, t.offset),
                     fmt::format("{} bytes of data", data));
      t.tensor.bytes = file_.subspan(begin + t.offset, t.bytes);
      t.tensor.file = file_name;
      if (!into.tensors_.emplace(t.name, t.tensor).second) return error(what, "it once", "it twice");
    }
    std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) { return a.offset < b.offset; });
    for (std::size_t i = 1; i < placed.size(); ++i)
      if (placed[i].offset < placed[i - 1].offset + placed[i - 1].bytes)
        return error(fmt::format("tensor {}", printable(placed[i].name)),
                     fmt::format("data behind that of {}", printable(placed[i - 1].name)), "data that overlaps it");
    return Done{};
  }

  std::span<const std::byte> file_;
  std::string subject_;
  std::uint64_t at_ = 0, alignment_ = 32;
  std::map<std::string_view, GgufValue> values_;
};

Status Gguf::add_file(std::span<const std::byte> bytes, std::string_view subject, std::string_view file_name) {
  return GgufParser(bytes, subject).parse(file_name, /*with_values=*/values_.empty(), *this);
}

Result<Gguf> Gguf::parse(std::span<const std::byte> file, std::string_view subject) {
  Gguf gguf;
  gguf.subject_ = subject;
  HADAL_RETURN_IF_ERROR(gguf.add_file(file, subject, ""));
  return gguf;
}

namespace {

// "x-00002-of-00003.gguf" without its number: what stands before and behind it.
struct SplitName {
  std::string before, after;
  std::string of(int number) const { return fmt::format("{}{:05}{}", before, number, after); }
};
std::optional<SplitName> split_name(const std::string& name, int files) {
  const std::string after = fmt::format("-of-{:05}.gguf", files);
  if (name.size() < after.size() + 6 || !name.ends_with(after)) return std::nullopt;
  const std::size_t at = name.size() - after.size() - 5;
  for (std::size_t i = at; i < at + 5; ++i)
    if (name[i] < '0' || name[i] > '9') return std::nullopt;
  return SplitName{name.substr(0, at), after};
}

// Which of how many files this one says it is.
struct Part {
  std::int64_t number = 0, count = 1;
};
Result<Part> part_of(const Gguf& gguf) {
  HADAL_ASSIGN(const auto number, gguf.integer("split.no"));
  HADAL_ASSIGN(const auto count, gguf.integer("split.count"));
  const Part part{number.value_or(0), count.value_or(1)};
  if (part.count < 0 || part.count > kMaxFiles || part.number < 0 ||
      part.number >= std::max<std::int64_t>(part.count, 1))
    return Error{ErrorKind::invalid,
                 fmt::format("{}: key split.no: expected a number below split.count, found {} of {}", gguf.subject(),
                             part.number, part.count)};
  return part;
}

}  // namespace

Result<Gguf> Gguf::open(const std::filesystem::path& path) {
  Gguf first;
  first.subject_ = path.string();
  const auto add = [](Gguf& to, const std::filesystem::path& file) -> Status {
    HADAL_ASSIGN(MappedFile mapped, MappedFile::open(file));
    const auto [entry, inserted] = to.files_.emplace(file.filename().string(), std::move(mapped));
    HADAL_CHECK(inserted);
    return to.add_file(entry->second.bytes(), file.string(), entry->first);
  };
  HADAL_RETURN_IF_ERROR(add(first, path));
  HADAL_ASSIGN(const Part part, part_of(first));
  if (part.count <= 1) return first;

  const int files = static_cast<int>(part.count);
  const auto name = split_name(path.filename().string(), files);
  if (!name)
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected a name that ends in -{:05}-of-{:05}.gguf, since the file says "
                             "that it is one of {}; found another",
                             path.string(), part.number + 1, files, files)};
  Gguf all;
  all.subject_ = (path.parent_path() / name->of(1)).string();
  std::vector<std::int64_t> tensors_before;
  for (int i = 0; i < files; ++i) {
    const std::filesystem::path file = path.parent_path() / name->of(i + 1);
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored))
      return Error{ErrorKind::not_found,
                   fmt::format("{}: expected file {} of {}, found none", file.string(), i + 1, files)};
    Gguf alone;
    alone.subject_ = file.string();
    HADAL_RETURN_IF_ERROR(add(alone, file));
    HADAL_ASSIGN(const Part found, part_of(alone));
    if (found.number != i || found.count != files)
      return Error{ErrorKind::invalid, fmt::format("{}: expected part {} of {} (split.no, split.count), found {} of {}",
                                                   file.string(), i, files, found.number, found.count)};
    if (i == 0) all.values_ = std::move(alone.values_);
    for (auto& [tensor, view] : alone.tensors_)
      if (!all.tensors_.emplace(tensor, view).second)
        return Error{ErrorKind::invalid, fmt::format("{}: tensor {}: expected it in one file, found it in {} too",
                                                     file.string(), printable(tensor), all.tensors_.at(tensor).file)};
    all.files_.merge(alone.files_);  // nodes move, so views of names and bytes stay valid
  }
  HADAL_ASSIGN(const auto promised, all.integer("split.tensors.count"));
  if (promised && *promised != static_cast<std::int64_t>(all.tensors_.size()))
    return Error{ErrorKind::invalid, fmt::format("{}: expected {} tensors in all files (split.tensors.count), found {}",
                                                 all.subject_, *promised, all.tensors_.size())};
  return all;
}

std::optional<TensorView> Gguf::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> Gguf::names() const {
  std::vector<std::string> all;
  all.reserve(tensors_.size());
  for (const auto& [name, tensor] : tensors_) all.emplace_back(name);
  return all;
}

std::uint64_t Gguf::size_bytes() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& [name, file] : files_) sum += file.bytes().size();
  return sum;
}

const GgufValue* Gguf::value(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

Error Gguf::wrong_type(std::string_view key, std::string_view expected, const GgufValue& found) const {
  return Error{ErrorKind::invalid, fmt::format("{}: key {}: expected {}, found {}{}", subject_, key, expected,
                                               found.is_array ? "an array of " : "", name_of(found.type))};
}

Result<std::optional<std::string_view>> Gguf::string(std::string_view key) const {
  const GgufValue* v = value(key);
  if (!v) return std::optional<std::string_view>{};
  if (v->is_array || v->type != GgufType::string) return wrong_type(key, "a string", *v);
  return std::optional(text_at(v->bytes.data() + 8, v->bytes.size() - 8));
}

Result<std::optional<std::int64_t>> Gguf::integer(std::string_view key) const {
  const GgufValue* v = value(key);
  if (!v) return std::optional<std::int64_t>{};
  const auto number = v->is_array ? std::nullopt : integer_at(v->type, v->bytes.data());
  if (!number) return wrong_type(key, "a whole number below 2^63", *v);
  return number;
}

Result<std::optional<double>> Gguf::number(std::string_view key) const {
  const GgufValue* v = value(key);
  if (!v) return std::optional<double>{};
  double number = std::numeric_limits<double>::quiet_NaN();
  if (!v->is_array) {
    if (v->type == GgufType::f32) number = static_cast<double>(load_as<float>(v->bytes.data()));
    if (v->type == GgufType::f64) number = load_as<double>(v->bytes.data());
    if (const auto whole = integer_at(v->type, v->bytes.data())) number = static_cast<double>(*whole);
  }
  if (!std::isfinite(number)) return wrong_type(key, "a finite number", *v);
  return std::optional(number);
}

Result<std::optional<bool>> Gguf::boolean(std::string_view key) const {
  const GgufValue* v = value(key);
  if (!v) return std::optional<bool>{};
  if (v->is_array || v->type != GgufType::boolean) return wrong_type(key, "a bool", *v);
  return std::optional(v->bytes[0] != std::byte{0});
}

Result<std::optional<std::vector<std::string_view>>> Gguf::strings(std::string_view key) const {
  const GgufValue* v = value(key);
  if (!v) return std::optional<std::vector<std::string_view>>{};
  if (!v->is_array || v->type != GgufType::string) return wrong_type(key, "an array of strings", *v);
  std::vector<std::string_view> all;
  all.reserve(v->count);
  for (const std::byte* at = v->bytes.data(); all.size() < v->count;) {
    const auto size = load_as<std::uint64_t>(at);
    all.push_back(text_at(at + 8, size));
    at += 8 + size;
  }
  return std::optional(std::move(all));
}

Result<std::optional<std::vector<std::int64_t>>> Gguf::integers(std::string_view key) const {
  const GgufValue* v = value(key);
  if (!v) return std::optional<std::vector<std::int64_t>>{};
  if (!v->is_array || !is_integer(v->type)) return wrong_type(key, "an array of whole numbers", *v);
  std::vector<std::int64_t> all;
  all.reserve(v->count);
  for (std::uint64_t i = 0; i < v->count; ++i) {
    const auto number = integer_at(v->type, v->bytes.data() + i * element_bytes(v->type));
    if (!number) return wrong_type(key, "whole numbers below 2^63", *v);
    all.push_back(*number);
  }
  return std::optional(std::move(all));
}

}  // namespace hadal
