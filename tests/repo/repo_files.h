// The repository as its rules see it: source files and their lines, without what was built or installed.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

namespace hadal {

inline const std::filesystem::path kRoot = HADAL_SOURCE_DIR;

struct SourceFile {
  std::string path;  // from the root, with '/'
  std::string text;

  std::ptrdiff_t lines() const { return std::count(text.begin(), text.end(), '\n'); }
  std::string folder() const { return std::filesystem::path(path).parent_path().string(); }
};

inline std::string read_repo_file(const std::string& path) {
  std::ifstream in(kRoot / path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// All files under `folder` with one of the endings, sorted by path.
inline std::vector<SourceFile> source_files(const std::string& folder, const std::vector<std::string>& endings) {
  namespace fs = std::filesystem;
  std::vector<SourceFile> files;
  if (!fs::exists(kRoot / folder)) return files;
  for (auto it = fs::recursive_directory_iterator(kRoot / folder); it != fs::recursive_directory_iterator(); ++it) {
    const std::string name = it->path().filename().string();
    if (it->is_directory() && (name == "node_modules" || name == "dist" || name == "build" || name == ".git")) {
      it.disable_recursion_pending();
      continue;
    }
    if (!it->is_regular_file() || std::find(endings.begin(), endings.end(), it->path().extension()) == endings.end())
      continue;
    const std::string path = fs::relative(it->path(), kRoot).generic_string();
    files.push_back({path, read_repo_file(path)});
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

inline std::vector<SourceFile> cpp_files(const std::string& folder) {
  return source_files(folder, {".h", ".cc"});
}

// What stands between the parentheses of `pattern`'s first group, each time it occurs.
inline std::vector<std::string> all_matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> found;
  for (auto it = std::sregex_iterator(text.begin(), text.end(), regex); it != std::sregex_iterator(); ++it)
    found.push_back((*it)[1]);
  return found;
}

}  // namespace hadal
