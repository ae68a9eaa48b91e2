// Indices that could be mixed up are types of their own. `index(id)` gives the number.
#pragma once

#include <cstdint>
#include <type_traits>

namespace hadal {

enum class TokenId : std::int32_t {};   // a row of the vocabulary
enum class PageId : std::int32_t {};    // a page of the latent cache
enum class ExpertId : std::int16_t {};  // a routed expert of one layer
enum class SequenceId : std::uint64_t {};  // a request inside the engine; never reused

template <class Id>
constexpr auto index(Id id) noexcept {
  static_assert(std::is_enum_v<Id>);
  return static_cast<std::underlying_type_t<Id>>(id);
}

}  // namespace hadal
