// How much memory this process may still take.
#pragma once

#include <cstdint>
#include <filesystem>

namespace hadal {

// Bytes that the system could give without swapping (MemAvailable), or fewer where a control group of this process, as
// a container has one, leaves fewer. Clean file pages count as free, mapped ones too. `root`: other than / in tests.
std::uint64_t available_memory_bytes(const std::filesystem::path& root = "/");

}  // namespace hadal
