# cmake -DDIST=dir -DOUTPUT=file.cc -P embed.cmake: every file under DIST as constant bytes.
cmake_minimum_required(VERSION 3.25)
file(GLOB_RECURSE files RELATIVE "${DIST}" "${DIST}/*")
list(SORT files)
if(NOT "index.html" IN_LIST files)
  message(FATAL_ERROR "${DIST}: expected the built chat page with an index.html, found none")
endif()

set(arrays "")
set(table "")
set(index 0)
foreach(file IN LISTS files)
  file(READ "${DIST}/${file}" hex HEX)
  file(SIZE "${DIST}/${file}" size)
  string(REGEX REPLACE "(................................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND arrays "constexpr unsigned char kFile${index}[] = {\n${bytes}0};  // ${file}\n")
  string(APPEND table "    {\"/${file}\", {reinterpret_cast<const char*>(kFile${index}), ${size}}},\n")
  math(EXPR index "${index} + 1")
endforeach()

file(WRITE "${OUTPUT}" "// Made by web/embed.cmake.
#include \"server/web_assets.h\"

namespace hadal {
namespace {
${arrays}
const WebAsset kAssets[] = {
${table}};
}  // namespace

std::span<const WebAsset> web_assets() { return kAssets; }

}  // namespace hadal
")
