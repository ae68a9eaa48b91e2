#include "base/file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/mapped_file.h"

namespace hadal {

Error system_error(std::string_view subject, std::string_view what, int error_number) {
  const bool absent = error_number == ENOENT || error_number == ENOTDIR;
  const ErrorKind kind = absent                   ? ErrorKind::not_found
                         : error_number == ENOMEM ? ErrorKind::out_of_memory
                                                  : ErrorKind::io;
  return Error{kind, fmt::format("{}: {}: {}", subject, what, std::generic_category().message(error_number))};
}

Result<std::string> read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  HADAL_ASSIGN(const MappedFile file, MappedFile::open(path));
  const auto bytes = file.bytes();
  if (bytes.size() > max_bytes)
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected at most {} bytes, found {}", path.string(), max_bytes, bytes.size())};
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace hadal
