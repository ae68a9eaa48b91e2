// The web chat, as files inside the binary.
//
// The table is generated at build time from the output of Vite (web/embed.cmake).
// Threads: constant data.
#pragma once

#include <span>
#include <string_view>

namespace hadal {

struct WebAsset {
  std::string_view path;  // "/index.html", "/assets/index-BX2f.js"
  std::string_view content;
};

std::span<const WebAsset> web_assets();

// "/" is "/index.html"; nullptr when there is none.
const WebAsset* find_web_asset(std::string_view path);
std::string_view content_type_of(std::string_view path);

}  // namespace hadal
