// What the documents say is so: paths exist, commands are the ones that CI runs, goldens are read by a test.
#include <gtest/gtest.h>

#include <set>

#include "repo/repo_files.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

// `like/this.h` or `src/engine/`; a path may leave out the leading src/.
std::vector<std::string> paths_in(const std::string& markdown) {
  return all_matches(markdown, "`([A-Za-z0-9_.-]+/[A-Za-z0-9_./-]*)`");
}

bool exists_somewhere(const std::string& path) {
  return fs::exists(kRoot / path) || fs::exists(kRoot / "src" / path);
}

TEST(Documents, PathsInArchitectureExist) {
  const std::string text = read_repo_file("ARCHITECTURE.md");
  ASSERT_FALSE(text.empty()) << "ARCHITECTURE.md is missing";
  const auto paths = paths_in(text);
  EXPECT_GT(paths.size(), 15u) << "the path of a token has real file names";
  for (const std::string& path : paths) EXPECT_TRUE(exists_somewhere(path)) << path;
}

TEST(Documents, PathsInOtherDocumentsExist) {
  for (const char* document : {"README.md", "CONTRIBUTING.md", "docs/shapes.md"}) {
    const std::string text = read_repo_file(document);
    ASSERT_FALSE(text.empty()) << document << " is missing";
    for (const std::string& path : paths_in(text)) {
      const std::string top = path.substr(0, path.find('/'));
      const bool ours = fs::exists(kRoot / top) || fs::exists(kRoot / "src" / top);
      if (ours && top != "build") EXPECT_TRUE(exists_somewhere(path)) << document << ": " << path;
    }
  }
}

std::set<std::string> make_targets() {
  const auto names = all_matches(read_repo_file("Makefile"), "(?:^|\\n)([a-z0-9]+):");
  return {names.begin(), names.end()};
}

TEST(Documents, ReadmeCommandsAreTheOnesCiRuns) {
  const std::string readme = read_repo_file("README.md"), ci = read_repo_file(".ci/run");
  EXPECT_NE(readme.find("make run"), std::string::npos);
  EXPECT_NE(readme.find("make test"), std::string::npos);
  EXPECT_NE(ci.find("make test"), std::string::npos);
  const std::set<std::string> targets = make_targets();
  for (const char* target : {"run", "test", "serve", "bench", "clean", "help", "asan", "tsan", "fuzz"})
    EXPECT_TRUE(targets.contains(target)) << target;
  for (const char* document : {"README.md", "CONTRIBUTING.md"})
    for (const std::string& target : all_matches(read_repo_file(document), "(?:`|\\n|\\$ )make ([a-z0-9]+)"))
      EXPECT_TRUE(targets.contains(target)) << document << ": make " << target;
}

TEST(Documents, EveryPresetOfTheMakefileExists) {
  const std::string presets = read_repo_file("CMakePresets.json");
  for (const std::string& name : all_matches(read_repo_file("Makefile"), "--preset ([a-z]+)"))
    EXPECT_NE(presets.find("\"name\": \"" + name + "\""), std::string::npos) << name;
}

TEST(Documents, LettersOfShapesAreExplained) {
  const std::string shapes = read_repo_file("docs/shapes.md");
  for (const char letter : std::string("TSDHNRVCQEKFLP"))
    EXPECT_NE(shapes.find(std::string("| `") + letter + "` |"), std::string::npos) << letter;
}

// A golden that no test reads is a truth nobody is held to.
class NamedGolden : public testing::TestWithParam<const char*> {};

TEST_P(NamedGolden, IsReadByATest) {
  for (const SourceFile& file : cpp_files("tests"))
    if (file.folder() != "tests/repo" && file.text.find(GetParam()) != std::string::npos) return;
  ADD_FAILURE() << "no test names " << GetParam();
}

INSTANTIATE_TEST_SUITE_P(Names, NamedGolden,
                         testing::Values("v2_lite", "\"v2\"", "\"v3\"", "v3_fp8", "v3_long", "moonlight",
                                         "golden.safetensors", "golden_gradients.safetensors", "golden_training.json",
                                         "encode.jsonl", "render.jsonl", "score_cases"),
                         [](const auto& test) {
                           std::string name;
                           for (char c : std::string(test.param))
                             name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

TEST(Goldens, FoldersThatThisVersionAnswersForAreThere) {
  for (const char* model : {"v2_lite", "v2", "v3", "v3_fp8", "v3_long", "moonlight"})
    EXPECT_TRUE(fs::exists(fs::path(HADAL_GOLDENS) / "models" / model / "golden.safetensors")) << model;
  EXPECT_TRUE(fs::exists(fs::path(HADAL_GOLDENS) / "tokenizers" / "deepseek_v3"));
  EXPECT_TRUE(fs::exists(fs::path(HADAL_TASKS) / "score_cases.jsonl"));
}

}  // namespace
}  // namespace hadal
