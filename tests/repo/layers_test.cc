// The layer table, held against the real includes: an include may only point down, and siblings do not know each other.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "repo/repo_files.h"

namespace hadal {
namespace {

// The table of ARCHITECTURE.md.
const std::map<std::string, int> kLevels = {{"base", 0},    {"cluster", 1}, {"text", 1},   {"formats", 1},
                                            {"kernels", 1}, {"spec", 2},    {"model", 3},  {"engine", 4},
                                            {"trainer", 5}, {"chat", 5},    {"server", 6}, {"cli", 7}};

// Outside libraries, and the only folders that may know them.
const std::map<std::string, std::set<std::string>> kOutside = {
    {"boost/", {"server"}},   {"openssl/", {"server"}}, {"pcre2", {"text"}},          {"unicode/", {"text"}},
    {"toml++/", {"trainer"}}, {"CLI/", {"cli"}},        {"histedit", {"cli"}},        {"editline/", {"cli"}},
    {"mpi", {"cluster"}},     {"spdlog/", {"base"}},    {"immintrin.h", {"kernels"}},
};

std::string folder_of(const std::string& path) {  // src/FOLDER/...
  const std::size_t begin = path.find('/') + 1;
  return path.substr(begin, path.find('/', begin) - begin);
}

std::vector<std::string> own_includes(const std::string& text) {
  return all_matches(text, "#include \"([^\"]+)\"");
}

// Empty, or what is wrong.
std::string upward_include(const std::string& folder, const std::string& include) {
  const std::string target = include.substr(0, include.find('/'));
  if (!kLevels.contains(target)) return "";
  if (target == folder || kLevels.at(target) < kLevels.at(folder)) return "";
  return folder + " includes " + include;
}

TEST(Layers, EveryFolderHasALevel) {
  for (const auto& entry : std::filesystem::directory_iterator(kRoot / "src"))
    EXPECT_TRUE(!entry.is_directory() || kLevels.contains(entry.path().filename().string())) << entry.path();
}

TEST(Layers, IncludesPointDownOnly) {
  int checked = 0;
  for (const SourceFile& file : cpp_files("src"))
    for (const std::string& include : own_includes(file.text)) {
      EXPECT_EQ(upward_include(folder_of(file.path), include), "") << file.path;
      ++checked;
    }
  EXPECT_GT(checked, 100);  // the walk really saw the sources
}

TEST(Layers, ThisTestCatchesUpwardAndSidewaysIncludes) {
  EXPECT_NE(upward_include("base", "formats/safetensors.h"), "");
  EXPECT_NE(upward_include("kernels", "formats/safetensors.h"), "");
  EXPECT_NE(upward_include("chat", "trainer/recipe.h"), "");
  EXPECT_EQ(upward_include("server", "chat/chat_model.h"), "");
  EXPECT_EQ(upward_include("spec", "spec/tensor_table.h"), "");
}

TEST(Layers, EveryIncludedFileExists) {
  for (const char* top : {"src", "tests", "bench"})
    for (const SourceFile& file : cpp_files(top))
      for (const std::string& include : own_includes(file.text)) {
        namespace fs = std::filesystem;
        if (fs::path(include).extension() == ".inc") continue;  // written by the build
        const bool found = fs::exists(kRoot / "src" / include) || fs::exists(kRoot / "tests" / include) ||
                           fs::exists(kRoot / file.folder() / include);
        EXPECT_TRUE(found) << file.path << ": " << include;
      }
}

TEST(Layers, OutsideLibrariesStayInTheirFolder) {
  for (const SourceFile& file : cpp_files("src"))
    for (const std::string& include : all_matches(file.text, "#include <([^>]+)>"))
      for (const auto& [prefix, folders] : kOutside)
        if (include.compare(0, prefix.size(), prefix) == 0)
          EXPECT_TRUE(folders.contains(folder_of(file.path))) << file.path << " includes " << include;
}

TEST(Layers, LibrariesNeverPrint) {  // cli does, and base where it is asked to by its caller
  for (const SourceFile& file : cpp_files("src")) {
    const std::string folder = folder_of(file.path);
    if (folder == "cli" || folder == "base") continue;
    EXPECT_TRUE(
        all_matches(file.text, "(std::cout|std::cerr|\\bprintf\\(|\\bfputs\\(|\\bstdout\\b|\\bstderr\\b|std::exit\\()")
            .empty())
        << file.path;
  }
}

}  // namespace
}  // namespace hadal
