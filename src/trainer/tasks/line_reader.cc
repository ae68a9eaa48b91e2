// Through zlib, which reads plain files as they are.
#include "trainer/tasks/line_reader.h"

#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace hadal {
namespace {

constexpr std::size_t kMaxLineBytes =
    16u << 20;  // a question is a few hundred bytes; this stops a file without line breaks

}  // namespace

struct LineReader::Source {
  explicit Source(gzFile opened) : file(opened) {}
  ~Source() { gzclose(file); }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  gzFile file;
  std::array<char, 1 << 16> buffer{};
  std::size_t begin = 0;
  std::size_t end = 0;
};

LineReader::LineReader(std::string path, std::unique_ptr<Source> source)
    : path_(std::move(path)), source_(std::move(source)) {}
LineReader::LineReader(LineReader&&) noexcept = default;
LineReader& LineReader::operator=(LineReader&&) noexcept = default;
LineReader::~LineReader() = default;

Result<LineReader> LineReader::open(const std::string& path) {
  errno = 0;
  const gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) {
    const bool absent = errno == ENOENT;
    return Error{absent ? ErrorKind::not_found : ErrorKind::io,
                 path + ": expected a file of lines, found: " + (errno != 0 ? std::strerror(errno) : "no memory")};
  }
  return LineReader(path, std::make_unique<Source>(file));
}

Result<bool> LineReader::next() {
  for (;;) {
    HADAL_ASSIGN(const bool more, read_line());
    if (!more) return false;
    if (line_.find_first_not_of(" \t\r") != std::string::npos) return true;
  }
}

Result<bool> LineReader::read_line() {
  line_.clear();
  ++line_number_;
  Source& source = *source_;
  for (;;) {
    if (source.begin == source.end) {
      const int n = gzread(source.file, source.buffer.data(), static_cast<unsigned>(source.buffer.size()));
      int code = Z_OK;
      const char* message = gzerror(source.file, &code);
      if (n < 0 || (code != Z_OK && code != Z_STREAM_END)) {
        // A gzip file cut short reads as far as it goes and then says so here.
        const char* found = code == Z_ERRNO ? std::strerror(errno) : message;
        return Error{ErrorKind::io, where() + ": expected more of the file, found: " + std::string(found)};
      }
      if (n == 0) return !line_.empty();
      source.begin = 0;
      source.end = static_cast<std::size_t>(n);
    }
    const char* from = source.buffer.data() + source.begin;
    const std::size_t available = source.end - source.begin;
    const void* const line_break = std::memchr(from, '\n', available);
    const std::size_t n =
        line_break == nullptr ? available : static_cast<std::size_t>(static_cast<const char*>(line_break) - from);
    line_.append(from, n);
    source.begin += n + (line_break != nullptr ? 1 : 0);
    if (line_.size() > kMaxLineBytes) {
      return Error{ErrorKind::invalid, where() + ": expected a line of at most " + std::to_string(kMaxLineBytes) +
                                           " bytes, found a longer one"};
    }
    if (line_break != nullptr) return true;
  }
}

}  // namespace hadal
