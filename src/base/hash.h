// 64-bit FNV-1a: the same on every machine and in every release, unlike std::hash.
#pragma once

#include <cstdint>
#include <string_view>

namespace hadal {

inline constexpr std::uint64_t kFnv1aStart = 0xcbf29ce484222325ULL;

// Of `bytes`, or going on from the hash of what came before them.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t hash = kFnv1aStart) noexcept {
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  return hash;
}

}  // namespace hadal
