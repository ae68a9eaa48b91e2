// The grids of GGUF's IQ types: which groups of four or eight magnitudes a code can stand for.
//
// The numbers are data of the format, as ggml defines them (https://github.com/ggml-org/ggml, MIT licence, copyright
// (c) 2023-2026 The ggml authors); here every group is one packed word, spread out at compile time.
#pragma once

#include <array>
#include <cstdint>

namespace hadal {

template <class T, std::size_t kEntries, std::size_t kWidth>
using BlockGrid = std::array<std::array<T, kWidth>, kEntries>;

extern const BlockGrid<std::uint8_t, 256, 8> kIq2XxsGrid;
extern const BlockGrid<std::uint8_t, 512, 8> kIq2XsGrid;
extern const BlockGrid<std::uint8_t, 1024, 8> kIq2SGrid;
extern const BlockGrid<std::uint8_t, 256, 4> kIq3XxsGrid;
extern const BlockGrid<std::uint8_t, 512, 4> kIq3SGrid;
extern const BlockGrid<std::int8_t, 2048, 8> kIq1SGrid;

}  // namespace hadal
