// Whole small files, and the system's refusals as errors.
//
// Not for weights (mapped_file.h) and not for writing (atomic_file.h). Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hadal {

// "subject: what: No space left on device". ENOENT and ENOTDIR become ErrorKind::not_found.
Error system_error(std::string_view subject, std::string_view what, int error_number);

// Reads a regular file of at most max_bytes; a larger one is ErrorKind::invalid.
Result<std::string> read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes = 64u << 20);

}  // namespace hadal
