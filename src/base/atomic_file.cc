#include "base/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>
#include <utility>

#include "base/file.h"

namespace hadal {
namespace {

// Writes of a huge page each, on its boundary: the page cache then holds the file in huge pages, and who maps it (a
// model) decodes 1.2 to 1.4 times as fast as from one that was written by the megabyte (docs/kernels.md).
constexpr std::size_t kBufferBytes = 2u << 20;

std::filesystem::path part_of(const std::filesystem::path& path) {
  return path.string() + ".part";
}

bool same_file(int fd, const std::filesystem::path& path) {
  struct stat by_fd, by_name;
  return ::fstat(fd, &by_fd) == 0 && ::stat(path.c_str(), &by_name) == 0 && by_fd.st_ino == by_name.st_ino &&
         by_fd.st_dev == by_name.st_dev;
}

// What a chain of links leads to, also where nothing is there yet.
Result<std::filesystem::path> end_of_links(const std::filesystem::path& name) {
  constexpr int kMostLinks = 40;  // as Linux
  std::filesystem::path path = name;
  for (int links = 0; links <= kMostLinks; ++links) {
    std::error_code no_link;
    const std::filesystem::path next = std::filesystem::read_symlink(path, no_link);
    if (no_link) return path;
    path = path.parent_path() / next;
  }
  return system_error(name.string(), "cannot follow the link", ELOOP);
}

std::optional<mode_t> permissions_of(const std::filesystem::path& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return info.st_mode & 0777;
}

// Asks only for what is not so already: some file systems have one mode for all files and refuse every change.
bool set_permissions(int fd, mode_t permissions) {
  struct stat info;
  return ::fstat(fd, &info) == 0 && ((info.st_mode & 0777) == permissions || ::fchmod(fd, permissions) == 0);
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& name) {
  std::error_code ignored;
  const auto status = std::filesystem::status(name, ignored);
  if (std::filesystem::is_directory(status))
    return Error{ErrorKind::io, fmt::format("{}: expected a file, found a directory", name.string())};
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    const int fd = ::open(name.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return system_error(name.string(), "cannot open", errno);
    return AtomicFile(name, fd, /*in_place=*/true);
  }
  HADAL_ASSIGN(const std::filesystem::path path, end_of_links(name));
  const std::filesystem::path part = part_of(path);
  const std::optional<mode_t> old = permissions_of(path);
  // Its owner may always write the part: one that a killed process leaves must open again.
  const mode_t permissions = old.value_or(0666) | S_IWUSR;
  for (;;) {
    const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, permissions);
    if (fd < 0) return system_error(part.string(), "cannot create", errno);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(fd);
      return Error{ErrorKind::io, fmt::format("{}: another process is writing it", part.string())};
    }
    if (!same_file(fd, part)) {  // its writer committed or dropped it between our open and our lock
      ::close(fd);
      continue;
    }
    AtomicFile file(path, fd, /*in_place=*/false);
    if (::ftruncate(fd, 0) != 0) return system_error(part.string(), "cannot empty", errno);
    if (old && !set_permissions(fd, permissions))
      return system_error(part.string(), "cannot set the permissions", errno);
    return file;
  }
}

AtomicFile::~AtomicFile() {
  discard();
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      in_place_(other.in_place_),
      size_bytes_(other.size_bytes_),
      buffer_(std::move(other.buffer_)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(in_place_, other.in_place_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

Status AtomicFile::append(std::span<const std::byte> bytes) {
  if (fd_ < 0) return Error{ErrorKind::io, fmt::format("{}: written after an earlier error or commit", path_.string())};
  size_bytes_ += bytes.size();
  while (!bytes.empty()) {
    const std::size_t n = std::min(bytes.size(), kBufferBytes - buffer_.size());
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    bytes = bytes.subspan(n);
    if (buffer_.size() == kBufferBytes) HADAL_RETURN_IF_ERROR(flush());
  }
  return Done{};
}

Status AtomicFile::commit() {
  if (fd_ < 0)
    return Error{ErrorKind::io, fmt::format("{}: committed after an earlier error or commit", path_.string())};
  HADAL_RETURN_IF_ERROR(flush());
  if (in_place_) {
    ::close(std::exchange(fd_, -1));
    return Done{};
  }
  const std::filesystem::path part = part_of(path_);
  const std::optional<mode_t> old = permissions_of(path_);
  if (old && !set_permissions(fd_, *old)) {
    const int code = errno;
    discard();
    return system_error(part.string(), "cannot set the permissions", code);
  }
  if (::fsync(fd_) != 0) {
    const int code = errno;
    discard();
    return system_error(part.string(), "cannot write to disk", code);
  }
  if (::rename(part.c_str(), path_.c_str()) != 0) {
    const int code = errno;
    discard();
    return system_error(path_.string(), "cannot put the new file in place", code);
  }
  ::close(std::exchange(fd_, -1));
  return sync_directory(path_.parent_path());
}

Status AtomicFile::flush() {
  std::size_t written = 0;
  while (written < buffer_.size()) {
    const ssize_t n = ::write(fd_, buffer_.data() + written, buffer_.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int code = n < 0 ? errno : EIO;
      discard();
      return system_error(path_.string(), fmt::format("cannot write, {} bytes in", size_bytes_), code);
    }
    written += static_cast<std::size_t>(n);
  }
  buffer_.clear();
  return Done{};
}

void AtomicFile::discard() noexcept {
  if (fd_ < 0) return;
  std::error_code ignored;
  if (!in_place_ && same_file(fd_, part_of(path_))) ::unlink(part_of(path_).c_str());
  ::close(std::exchange(fd_, -1));
  buffer_.clear();
}

Status sync_directory(const std::filesystem::path& directory) {
  const std::filesystem::path name = directory.empty() ? "." : directory;
  const int fd = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return system_error(name.string(), "cannot open", errno);
  const int code = ::fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : errno;  // some file systems cannot
  ::close(fd);
  if (code != 0) return system_error(name.string(), "cannot write to disk", code);
  return Done{};
}

Status write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  HADAL_ASSIGN(AtomicFile file, AtomicFile::create(path));
  HADAL_RETURN_IF_ERROR(file.append(text));
  return file.commit();
}

}  // namespace hadal
