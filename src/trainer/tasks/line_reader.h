// The lines of a file, plain or gzipped (told apart by content), one at a time: a file of any length costs one line.
//
// Threads: a reader belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace hadal {

class LineReader {
 public:
  static Result<LineReader> open(const std::string& path);
  LineReader(LineReader&&) noexcept;
  LineReader& operator=(LineReader&&) noexcept;
  ~LineReader();

  // False at the end of the file. Blank lines are passed over. Errors: a line of more than 16 MiB, a gzip file that is
  // damaged or cut short; the reader is spent after one.
  Result<bool> next();
  const std::string& line() const { return line_; }                                 // without its line break
  std::int64_t line_number() const { return line_number_; }                         // from 1
  std::string where() const { return path_ + ":" + std::to_string(line_number_); }  // for errors

 private:
  struct Source;
  LineReader(std::string path, std::unique_ptr<Source> source);
  Result<bool> read_line();
  std::string path_;
  std::unique_ptr<Source> source_;
  std::string line_;
  std::int64_t line_number_ = 0;
};

}  // namespace hadal
