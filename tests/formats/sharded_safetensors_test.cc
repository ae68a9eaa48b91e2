// A model in several files: the index decides, and an index that lies is refused.
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "formats/safetensors.h"
#include "formats/safetensors_bytes.h"

namespace hadal {
namespace {

class Shards : public testing::Test {
 protected:
  void SetUp() override {
    write_file(dir_ / "one.safetensors",
               safetensors_bytes(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", raw({1.0f})));
    write_file(dir_ / "two.safetensors",
               safetensors_bytes(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", raw({2.0f})));
    write_index(R"({"metadata":{"total_size":8},"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  }
  void write_index(const std::string& json) { write_file(dir_ / "model.safetensors.index.json", json); }
  std::string error() {
    const auto source = Safetensors::open(dir_.path());
    return source.ok() ? "no error" : source.error().message;
  }
  TempDir dir_;
};

TEST_F(Shards, AreReadAsOneSource) {
  const auto source = Safetensors::open(dir_.path());
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_EQ(source->names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(floats_of(*source->find("b")), std::vector<float>{2});
  EXPECT_EQ(source->find("b")->file, "two.safetensors");
}

TEST_F(Shards, StayValidWhenTheSourceMoves) {
  auto source = Safetensors::open(dir_.path());
  const Safetensors moved = *std::move(source);
  EXPECT_EQ(floats_of(*moved.find("a")), std::vector<float>{1});
  EXPECT_EQ(moved.find("a")->file, "one.safetensors");
}

TEST_F(Shards, AMissingShardIsNamed) {
  std::filesystem::remove(dir_ / "two.safetensors");
  const auto source = Safetensors::open(dir_.path());
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.error().kind, ErrorKind::not_found);
  EXPECT_NE(source.error().message.find(
                "two.safetensors: expected this shard of model.safetensors.index.json, found no such file"),
            std::string::npos);
}

TEST_F(Shards, ATensorThatItsShardLacksIsNamed) {
  write_index(R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors"}})");
  EXPECT_EQ(error(), "one.safetensors: tensor b: expected here by model.safetensors.index.json, found none");
}

TEST_F(Shards, ABrokenShardIsNamed) {
  write_file(dir_ / "two.safetensors", "short");
  EXPECT_NE(error().find("two.safetensors: expected a safetensors header, found 5 bytes"), std::string::npos);
}

TEST_F(Shards, NamesThatLeaveTheDirectoryAreRefused) {
  for (const char* name : {"../one.safetensors", "/etc/passwd", "sub/one.safetensors", "..", ""}) {
    write_index(std::string(R"({"weight_map":{"a":")") + name + "\"}}");
    EXPECT_NE(error().find("tensor a: expected the name of a file beside the index"), std::string::npos) << name;
  }
}

TEST_F(Shards, AnIndexOfAnotherFormIsRefused) {
  for (const char* json : {"[]", "{}", R"({"weight_map":[]})", "", R"({"weight_map":{"a":1}})"}) {
    write_index(json);
    EXPECT_NE(error(), "no error") << json;
  }
}

TEST_F(Shards, OneWholeFileComesBeforeAnIndex) {
  write_file(dir_ / "model.safetensors",
             safetensors_bytes(R"({"c":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", raw({3.0f})));
  EXPECT_EQ(Safetensors::open(dir_.path())->names(), std::vector<std::string>{"c"});
}

TEST(GoldenShards, V3IsOneSourceOfThreeFiles) {
  const auto source = Safetensors::open(HADAL_GOLDENS "/models/v3");
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_TRUE(source->find("model.layers.3.eh_proj.weight"));
  EXPECT_TRUE(source->find("model.embed_tokens.weight"));
}

}  // namespace
}  // namespace hadal
