// Rules about single files: their length, their first lines, and that the build and the tests know them.
#include <gtest/gtest.h>

#include "repo/repo_files.h"

namespace hadal {
namespace {

constexpr std::ptrdiff_t kMaxLines = 600;

std::vector<SourceFile> all_sources() {
  std::vector<SourceFile> all;
  for (const char* top : {"src", "tests", "bench", "web"})
    for (SourceFile& file : source_files(top, {".h", ".cc", ".ts", ".js", ".mjs", ".svelte", ".css"}))
      all.push_back(std::move(file));
  return all;
}

TEST(Files, NoneIsLongerThan600Lines) {
  for (const SourceFile& file : all_sources()) EXPECT_LE(file.lines(), kMaxLines) << file.path;
}

TEST(Files, AQuarterOfAllLinesAreTests) {
  std::ptrdiff_t total = 0, tests = 0;
  for (const SourceFile& file : all_sources()) {
    total += file.lines();
    if (file.path.rfind("tests/", 0) == 0 || file.path.rfind("web/test", 0) == 0) tests += file.lines();
  }
  EXPECT_GE(4 * tests, total) << tests << " of " << total;
}

TEST(Files, EveryHeaderOpensWithWhatItIsAndIsIncludedOnce) {
  for (const SourceFile& file : source_files("src", {".h"})) {
    EXPECT_EQ(file.text.rfind("//", 0), 0u) << file.path << ": expected a comment that says what it is";
    EXPECT_NE(file.text.find("#pragma once"), std::string::npos) << file.path;
  }
}

TEST(Files, EverySourceIsNamedInTheCMakeListsOfItsFolder) {  // a test that nobody builds always passes
  for (const char* top : {"src", "tests", "bench"})
    for (const SourceFile& file : source_files(top, {".cc"})) {
      std::filesystem::path folder = file.folder();
      while (!std::filesystem::exists(kRoot / folder / "CMakeLists.txt")) folder = folder.parent_path();
      const std::string name = std::filesystem::path(file.path).lexically_relative(folder).generic_string();
      const std::string stem = name.substr(0, name.size() - 3);  // kernel files may be listed without their ending
      EXPECT_NE(read_repo_file((folder / "CMakeLists.txt").string()).find(stem), std::string::npos)
          << file.path << " is not in " << folder << "/CMakeLists.txt";
    }
}

TEST(Files, NoTestSkipsForAMissingGolden) {
  for (const SourceFile& file : source_files("tests", {".cc", ".h"})) {
    if (file.folder() == "tests/repo") continue;
    EXPECT_TRUE(file.text.find("GTEST_SKIP") == std::string::npos ||
                file.text.find("HADAL_GOLDENS") == std::string::npos)
        << file.path;
  }
}

TEST(Files, LinesEndInOneLineFeed) {
  for (const SourceFile& file : all_sources()) {
    EXPECT_EQ(file.text.find('\r'), std::string::npos) << file.path;
    EXPECT_TRUE(file.text.empty() || file.text.back() == '\n') << file.path;
    EXPECT_EQ(file.text.find(" \n"), std::string::npos) << file.path << ": a blank at the end of a line";
  }
}

}  // namespace
}  // namespace hadal
