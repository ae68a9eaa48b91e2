// Task files: plain and gzip read alike, and an error names its line.
#include "trainer/tasks/task_item.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

namespace hadal {
namespace {

class TaskFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("hadal_task_item_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string plain(const std::string& text) {
    const std::string path = (folder_ / "items.jsonl").string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  std::string zipped(const std::string& text) {
    const std::string path = (folder_ / "items.jsonl.gz").string();
    const gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
    return path;
  }
  std::filesystem::path folder_;
};

const std::string kTwo =
    "{\"task\":\"gcd\",\"question\":\"q1\",\"answer\":\"1\",\"meta\":{\"numbers\":[2,3]}}\n\n"
    "{\"task\":\"word_problems\",\"lang\":\"fr\",\"template\":\"t\",\"question\":\"q2\",\"answer\":\"2\",\"steps\":["
    "\"1+1=2\"]}";

TEST_F(TaskFile, PlainAndGzipReadAlike) {
  for (const std::string& path : {plain(kTwo), zipped(kTwo)}) {
    const auto items = read_task_file(path);
    ASSERT_TRUE(items.ok()) << items.error().message;
    ASSERT_EQ(items->size(), 2u);
    EXPECT_EQ((*items)[0].meta["numbers"][1], 3);
    EXPECT_EQ((*items)[0].lang, "en");
    EXPECT_EQ((*items)[1].lang, "fr");
    EXPECT_EQ((*items)[1].steps, std::vector<std::string>{"1+1=2"});
  }
}

TEST_F(TaskFile, WrittenItemsReadBack) {
  const auto item = parse_task_item(kTwo.substr(kTwo.rfind('\n') + 1), "x");
  ASSERT_TRUE(item.ok());
  const auto again = parse_task_item(write_task_item(*item), "x");
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(write_task_item(*again), write_task_item(*item));
  EXPECT_EQ(again->template_id, "t");
}

TEST_F(TaskFile, AnErrorNamesFileAndLine) {
  for (const auto& [line, found] : std::vector<std::pair<std::string, std::string>>{
           {"{", "not JSON"},
           {R"({"task":"a","question":"","answer":"","meta":)" + std::string(100000, '[') + std::string(100000, ']') + "}",
            "nested"},
           {"[]", "found array"},
           {"{\"task\":\"gcd\",\"question\":\"\"}", "\"answer\""},
           {"{\"task\":3,\"question\":\"\",\"answer\":\"\"}", "found number"},
           {"{\"task\":\"a\",\"question\":\"\",\"answer\":\"\",\"steps\":3}", "\"steps\""}}) {
    const auto items = read_task_file(plain(kTwo + "\n" + line));
    ASSERT_FALSE(items.ok());
    EXPECT_NE(items.error().message.find("items.jsonl:4"), std::string::npos) << items.error().message;
    EXPECT_NE(items.error().message.find(found), std::string::npos) << items.error().message;
  }
}

TEST_F(TaskFile, AGzipFileCutShortIsAnErrorAndNotAnEnd) {
  std::string text;
  for (int i = 0; i < 2000; ++i)
    text += "{\"task\":\"gcd\",\"question\":\"" + std::to_string(i * 7919) + "\",\"answer\":\"1\"}\n";
  const std::string path = zipped(text);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_FALSE(read_task_file(path).ok());
}

TEST_F(TaskFile, AMissingFileIsNotFound) {
  const auto items = read_task_file((folder_ / "absent").string());
  ASSERT_FALSE(items.ok());
  EXPECT_EQ(items.error().kind, ErrorKind::not_found);
}

}  // namespace
}  // namespace hadal
