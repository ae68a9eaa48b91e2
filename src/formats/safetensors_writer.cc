#include "formats/safetensors_writer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/check.h"
#include "formats/safetensors.h"

namespace hadal {
namespace {

constexpr std::size_t kDataAlignment = 64;  // so that a mapped file can be read with aligned vector loads

std::string header_of(std::span<const TensorDeclaration> tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string_view> names;
  std::uint64_t offset = 0;
  for (const TensorDeclaration& tensor : tensors) {
    HADAL_CHECK(names.insert(tensor.name).second);
    const std::uint64_t end = offset + tensor.data_bytes();
    HADAL_CHECK(!is_block(tensor.dtype));  // safetensors has none
    // push_back of pairs would search; here the object's own vector grows, which keeps 90,000 tensors linear.
    header.get_ref<nlohmann::ordered_json::object_t&>().push_back(
        {tensor.name, {{"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}}});
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.append((kDataAlignment - (8 + text.size()) % kDataAlignment) % kDataAlignment, ' ');
  return text;
}

}  // namespace

Result<SafetensorsFileWriter> SafetensorsFileWriter::create(const std::filesystem::path& path,
                                                            std::span<const TensorDeclaration> tensors,
                                                            const std::map<std::string, std::string>& metadata) {
  const std::string header = header_of(tensors, metadata);
  const std::uint64_t header_bytes = header.size();
  HADAL_ASSIGN(AtomicFile file, AtomicFile::create(path));
  HADAL_RETURN_IF_ERROR(file.append(std::as_bytes(std::span(&header_bytes, 1))));
  HADAL_RETURN_IF_ERROR(file.append(header));
  std::uint64_t data_bytes = 0;
  for (const TensorDeclaration& tensor : tensors) data_bytes += tensor.data_bytes();
  return SafetensorsFileWriter(std::move(file), data_bytes);
}

Status SafetensorsFileWriter::append(std::span<const std::byte> bytes) {
  HADAL_CHECK(bytes.size() <= left_bytes_);
  left_bytes_ -= bytes.size();
  return file_.append(bytes);
}

Status SafetensorsFileWriter::commit() {
  HADAL_CHECK(left_bytes_ == 0);
  return file_.commit();
}

Result<SafetensorsWriter> SafetensorsWriter::create(const std::filesystem::path& directory,
                                                    std::vector<TensorDeclaration> tensors,
                                                    std::uint64_t max_shard_bytes) {
  SafetensorsWriter writer;
  writer.directory_ = directory;
  writer.tensors_ = std::move(tensors);
  writer.shards_.emplace_back();
  for (std::size_t i = 0; i < writer.tensors_.size(); ++i) {
    const std::uint64_t bytes = writer.tensors_[i].data_bytes();
    Shard* shard = &writer.shards_.back();
    if (shard->last > shard->first && shard->data_bytes + bytes > max_shard_bytes)
      shard = &writer.shards_.emplace_back(Shard{i, i, 0});
    shard->last = i + 1;
    shard->data_bytes += bytes;
  }
  HADAL_RETURN_IF_ERROR(writer.open_next_shard());
  return writer;
}

Status SafetensorsWriter::append(std::span<const std::byte> bytes) {
  while (left_bytes_ == 0 && !bytes.empty()) {
    HADAL_CHECK(open_.has_value() && next_shard_ < shards_.size());
    HADAL_RETURN_IF_ERROR(open_->commit());
    HADAL_RETURN_IF_ERROR(open_next_shard());
  }
  left_bytes_ -= bytes.size();  // the file's own check refuses more
  return open_->append(bytes);
}

Status SafetensorsWriter::commit() {
  HADAL_CHECK(left_bytes_ == 0 && open_.has_value());
  HADAL_RETURN_IF_ERROR(open_->commit());
  while (next_shard_ < shards_.size()) {  // only empty tensors are left
    HADAL_RETURN_IF_ERROR(open_next_shard());
    HADAL_CHECK(left_bytes_ == 0);
    HADAL_RETURN_IF_ERROR(open_->commit());
  }
  open_.reset();
  return shards_.size() > 1 ? write_index() : Status(Done{});
}

std::filesystem::path SafetensorsWriter::shard_path(std::size_t shard) const {
  if (shards_.size() == 1) return directory_ / kSafetensorsFile;
  return directory_ / fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, shards_.size());
}

Status SafetensorsWriter::open_next_shard() {
  const Shard& shard = shards_[next_shard_];
  const auto tensors = std::span<const TensorDeclaration>(tensors_).subspan(shard.first, shard.last - shard.first);
  HADAL_ASSIGN(open_, SafetensorsFileWriter::create(shard_path(next_shard_), tensors));
  left_bytes_ = shard.data_bytes;
  ++next_shard_;
  return Done{};
}

Status SafetensorsWriter::write_index() const {
  nlohmann::json weight_map = nlohmann::json::object();
  std::uint64_t total_bytes = 0;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    total_bytes += shards_[i].data_bytes;
    for (std::size_t t = shards_[i].first; t < shards_[i].last; ++t)
      weight_map[tensors_[t].name] = shard_path(i).filename().string();
  }
  const nlohmann::json index = {{"metadata", {{"total_size", total_bytes}}}, {"weight_map", std::move(weight_map)}};
  return write_file_atomically(directory_ / kSafetensorsIndexFile, index.dump(1) + "\n");
}

}  // namespace hadal
