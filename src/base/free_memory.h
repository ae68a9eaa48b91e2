// How much memory this process may still take, and what Linux says of memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace hadal {

// Bytes that the system could give without swapping (MemAvailable), or fewer where a control group of this process, as
// a container has one, leaves fewer. Clean file pages count as free, mapped ones too. `root`: other than / in tests.
std::uint64_t available_memory_bytes(const std::filesystem::path& root = "/");

// The number behind `word` in a file of lines "word number ..", such as /proc/self/status; 0: no such file or line.
std::uint64_t number_behind(const std::filesystem::path& file, std::string_view word);

}  // namespace hadal
