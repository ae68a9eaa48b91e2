#include "server/access.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace hadal {
namespace {

bool equals_slowly(std::string_view a, std::string_view b) {
  unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference = static_cast<unsigned char>(difference | (a[i] ^ (b.empty() ? 0 : b[i % b.size()])));
  return difference == 0;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// Four decimal numbers, the first 127. Other spellings of addresses (octal, one number) are not accepted.
bool is_loopback_v4(std::string_view host) {
  std::array<int, 4> parts{};
  const char* at = host.data();
  const char* const end = at + host.size();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && (at == end || *at++ != '.')) return false;
    const auto [next, error] = std::from_chars(at, end, parts[i]);
    if (error != std::errc() || next - at > 3 || parts[i] < 0 || parts[i] > 255) return false;
    at = next;
  }
  return at == end && parts[0] == 127;
}

}  // namespace

int key_holder(std::string_view authorization, std::span<const std::string> keys) {
  constexpr std::string_view kScheme = "Bearer ";
  if (!equals_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) return 0;
  authorization.remove_prefix(kScheme.size());
  int holder = 0;
  for (std::size_t i = 0; i < keys.size(); ++i)  // no early exit
    holder = equals_slowly(authorization, keys[i]) ? static_cast<int>(i) + 1 : holder;
  return holder;
}

std::string_view host_of(std::string_view host_header) {
  if (host_header.starts_with('[')) {
    const std::size_t close = host_header.find(']');
    return close == std::string_view::npos ? std::string_view() : host_header.substr(1, close - 1);
  }
  return host_header.substr(0, host_header.find(':'));
}

bool is_loopback_name(std::string_view host) {
  constexpr std::string_view kSuffix = ".localhost";  // RFC 6761: resolvers keep it on this machine
  if (host.ends_with('.')) host.remove_suffix(1);
  return equals_ignoring_case(host, "localhost") || host == "::1" || is_loopback_v4(host) ||
         (host.size() > kSuffix.size() && equals_ignoring_case(host.substr(host.size() - kSuffix.size()), kSuffix));
}

bool is_same_origin(std::string_view origin, std::string_view host_header) {
  const std::size_t scheme_end = origin.find("://");
  return scheme_end != std::string_view::npos && equals_ignoring_case(origin.substr(scheme_end + 3), host_header);
}

}  // namespace hadal
