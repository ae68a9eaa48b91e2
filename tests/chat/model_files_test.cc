// Where a model is looked for, and what is said when it, or a part of it, is not there or not right.
#include "chat/model_files.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "base/temp_dir.h"
#include "chat/tiny_model.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

template <class T>
std::string error_of(const Result<T>& result) {
  return result.ok() ? "no error" : result.error().message;
}

// A line of its own for whatever was changed in a copy of a sound model.
class BrokenModel : public ::testing::Test {
 protected:
  void SetUp() override { testing::copy_model(testing::babbler(), directory()); }

  fs::path directory() const { return folder_ / "broken"; }
  std::string file(const char* name) const { return (directory() / name).string(); }
  std::string weights_error() const { return one_line(error_of(open_weights(directory(), Arithmetic::exact, 1))); }
  std::string text_error() const { return one_line(error_of(open_text(directory()))); }

 private:
  static std::string one_line(const std::string& message) {
    EXPECT_THAT(message, Not(HasSubstr("\n")));
    return message;
  }
  TempDir folder_;
};

TEST(FindModel, DirectoryIsItselfAndItsLastPartIsTheName) {
  TempDir dir;
  fs::create_directories(dir / "models/my-model");
  for (const char* spelling : {"/models/my-model", "/models/my-model/", "/models/../models/my-model/."}) {
    const auto found = find_model(dir.path().string() + spelling);
    ASSERT_TRUE(found.ok()) << found.error().message;
    EXPECT_EQ(found->name, "my-model");
    EXPECT_TRUE(fs::equivalent(found->path, dir / "models/my-model"));
  }
}

TEST(FindModel, UnknownNameListsWhereItWasLookedFor) {
  const auto found = find_model("no-such-model");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().kind, ErrorKind::not_found);
  EXPECT_THAT(found.error().message, StartsWith("no-such-model: expected a model's directory"));
  EXPECT_THAT(built_in_directories(), Contains(fs::path(HADAL_SOURCE_DIR) / "models"));
  for (const fs::path& searched : built_in_directories())
    EXPECT_THAT(found.error().message, HasSubstr(searched.string()));
}

// The directory of the test program, while it lasts.
class WorkingIn {
 public:
  explicit WorkingIn(const fs::path& folder) : before_(fs::current_path()) { fs::current_path(folder); }
  ~WorkingIn() { fs::current_path(before_); }

 private:
  fs::path before_;
};

TEST(FindModel, NoFolderTakesTheNameOfABuiltInModel) {
  TempDir dir;
  fs::create_directories(dir / kBuiltInModel);
  fs::create_directories(dir / "other");
  const WorkingIn folder(dir.path());
  EXPECT_TRUE(fs::equivalent(find_model(kBuiltInModel)->path, fs::path(HADAL_SOURCE_DIR) / "models" / kBuiltInModel));
  EXPECT_TRUE(fs::equivalent(find_model(std::string("./") + kBuiltInModel)->path, dir / kBuiltInModel));
  EXPECT_TRUE(fs::equivalent(find_model("other")->path, dir / "other"));
}

class HubCache : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(model() / "refs");
    fs::create_directories(model() / "snapshots/0a1b");
    ::setenv("HF_HUB_CACHE", folder_.path().c_str(), 1);
  }
  void TearDown() override { ::unsetenv("HF_HUB_CACHE"); }
  fs::path model() const { return folder_ / "models--deep--sea-7b"; }

 private:
  TempDir folder_;
};

TEST_F(HubCache, AnIdIsTheSnapshotThatMainRefersTo) {
  write_file(model() / "refs/main", "0a1b\n");
  const auto found = find_model("deep/sea-7b");
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->path, model() / "snapshots/0a1b");
  EXPECT_EQ(found->name, "sea-7b");
}

TEST_F(HubCache, WhatIsNotThereOrNotRightIsNamed) {
  EXPECT_THAT(
      error_of(find_model("deep/lake")),
      AllOf(StartsWith("deep/lake: expected"), HasSubstr("models--deep--lake"), HasSubstr("downloads nothing")));
  EXPECT_THAT(error_of(find_model("deep/sea-7b")), HasSubstr("found no " + (model() / "refs/main").string()));
  write_file(model() / "refs/main", "2c3d");
  EXPECT_THAT(error_of(find_model("deep/sea-7b")), HasSubstr("found no " + (model() / "snapshots/2c3d").string()));
  write_file(model() / "refs/main", "../../..");
  EXPECT_THAT(error_of(find_model("deep/sea-7b")), HasSubstr("expected the name of a snapshot, found \"../../..\""));
}

TEST(HubCacheFolder, IsWhereTheEnvironmentSays) {
  const auto with = [](const char* name, const char* value) {
    const char* before = std::getenv(name);
    const std::string kept = before ? before : "";
    ::setenv(name, value, 1);
    const fs::path cache = hugging_face_cache();
    before ? ::setenv(name, kept.c_str(), 1) : ::unsetenv(name);
    return cache;
  };
  EXPECT_EQ(with("HF_HUB_CACHE", "/a"), "/a");
  EXPECT_EQ(with("HF_HOME", "/b"), "/b/hub");
  EXPECT_EQ(with("XDG_CACHE_HOME", "/c"), "/c/huggingface/hub");
}

TEST(FindModel, PathThatIsNotThereIsNotLookedForElsewhere) {
  const auto found = find_model("/nowhere/abyss");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().kind, ErrorKind::not_found);
  EXPECT_EQ(found.error().message, "/nowhere/abyss: expected a model's directory or .gguf file, found nothing there");
}

TEST(FindModel, FilesAndEmptyNamesAreRefused) {
  TempDir dir;
  write_file(dir / "model.bin", "GGUF");
  EXPECT_EQ(error_of(find_model(dir / "model.bin")),
            (dir / "model.bin").string() +
                ": expected a directory with config.json and safetensors, or a .gguf file; found another file");
  EXPECT_EQ(error_of(find_model("")), "model: expected a directory or a name, found an empty one");
}

TEST(ModelFiles, SoundModelOpensWithItsFormatAndItsConfig) {
  const auto text = open_text(testing::babbler());
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ(text->location.name, "babbler");
  ASSERT_NE(text->format, nullptr) << text->format_error;
  EXPECT_EQ(text->format->name(), "deepseek-r1");
  const auto weights = open_weights(testing::babbler(), Arithmetic::exact, 1);
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  EXPECT_EQ(weights->config().vocab_size, text->tokenizer.vocab_size());
  EXPECT_EQ(weights->pool->threads(), 1);
}

TEST_F(BrokenModel, WithoutConfigNamesTheFile) {
  fs::remove(directory() / "config.json");
  EXPECT_THAT(weights_error(), AllOf(StartsWith(file("config.json")), HasSubstr("No such file")));
}

TEST_F(BrokenModel, WithoutWeightsNamesTheFileThatIsExpected) {
  fs::remove(directory() / "model.safetensors");
  EXPECT_THAT(weights_error(), AllOf(HasSubstr(directory().string()), HasSubstr("model.safetensors")));
}

TEST_F(BrokenModel, WithoutTokenizerNamesTheFile) {
  fs::remove(directory() / "tokenizer.json");
  EXPECT_THAT(text_error(), AllOf(StartsWith(file("tokenizer.json")), HasSubstr("No such file")));
}

TEST_F(BrokenModel, MissingTensorIsNamed) {
  testing::replace_in_file(directory() / "model.safetensors", "layers.1.mlp.gate.weight", "layers.1.mlp.gone.weight");
  EXPECT_THAT(
      weights_error(),
      EndsWith("model.safetensors: tensor model.layers.1.mlp.gate.weight: expected [4, 48], found no such tensor"));
}

TEST_F(BrokenModel, TensorOfAnotherShapeIsNamedWithBothShapes) {
  const std::string header = read_file(directory() / "model.safetensors");
  const std::size_t at = header.find("[4,48]", header.find("layers.1.mlp.gate.weight"));
  ASSERT_NE(at, std::string::npos);
  testing::replace_in_file(directory() / "model.safetensors", header.substr(at - 40, 46),
                           header.substr(at - 40, 40) + "[48,4]");
  EXPECT_THAT(weights_error(),
              EndsWith("model.safetensors: tensor model.layers.1.mlp.gate.weight: expected [4, 48], found [48, 4]"));
}

TEST_F(BrokenModel, TruncatedWeightsAreRefusedBeforeTheyAreRead) {
  const fs::path path = directory() / "model.safetensors";
  fs::resize_file(path, fs::file_size(path) - 1000);
  EXPECT_THAT(weights_error(), AllOf(HasSubstr("model.safetensors"), HasSubstr("expected"), HasSubstr("found")));
}

TEST_F(BrokenModel, ConfigValueThatHadalDoesNotKnowIsNamed) {
  testing::replace_in_file(directory() / "config.json", "\"noaux_tc\"", "\"noaux_tx\"");
  EXPECT_THAT(weights_error(), AllOf(HasSubstr("topk_method"), HasSubstr("noaux_tc"), HasSubstr("\"noaux_tx\"")));
}

TEST_F(BrokenModel, TokenizerWithoutAChatFormatOpensAndSaysWhyItHasNone) {
  BpeTrainerOptions no_roles;
  no_roles.special_tokens = {"<s>", "</s>"};
  testing::write_tokenizer(directory(), testing::tiny_tokenizer("", no_roles));
  const auto text = open_text(directory());
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ(text->format, nullptr);
  EXPECT_THAT(text->format_error, AllOf(StartsWith("broken: chat format not recognised"), HasSubstr("deepseek-r1")));
}

}  // namespace
}  // namespace hadal
