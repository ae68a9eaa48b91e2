#include "base/json.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/printable.h"
#include "base/temp_dir.h"

namespace hadal {
namespace {

std::string error_of(std::string_view text) {
  const auto json = parse_json(text, "x.json");
  return json.ok() ? "no error" : json.error().message;
}

TEST(Json, ParsesWhatIsJson) {
  EXPECT_EQ((*parse_json(R"({"a": [1, -2.5, "é", null, true]})", "x"))["a"][2], "é");
  EXPECT_EQ(*parse_json("3", "x"), 3);
}

TEST(Json, ErrorsNameLineAndColumn) {
  EXPECT_EQ(error_of("{\n \"a\": 1,\n \"b\": oops}"), "x.json: not JSON: line 3, column 7");
  EXPECT_EQ(error_of(""), "x.json: not JSON: line 1, column 1");
  EXPECT_EQ(error_of("{\"a\": \"\xff\"}").substr(0, 17), "x.json: not JSON:");
  EXPECT_EQ(error_of("{} {}").substr(0, 17), "x.json: not JSON:");
}

TEST(Json, NumbersBeyondDoubleAreRefused) {
  EXPECT_NE(error_of("1e999"), "no error");
  EXPECT_LT(error_of(std::string(5000, '9')).size(), 200u);
}

TEST(Json, AKeyTwiceInOneObjectIsRefusedButNotInTwo) {
  EXPECT_EQ(error_of(R"({"a":1,"a":2})"), "x.json: key \"a\" stands twice in one object");
  EXPECT_EQ(error_of(R"({"b":{"a":1,"a":2}})"), "x.json: key \"a\" stands twice in one object");
  EXPECT_EQ(error_of(R"([{"a":1},{"a":2},{"b":{"a":1},"a":2}])"), "no error");
}

TEST(Json, DepthIsLimited) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(error_of(nested(100)), "no error");
  EXPECT_EQ(error_of(nested(100000)), "x.json: nested more than 200 deep");
  std::string objects;
  for (int i = 0; i < 1000; ++i) objects += "{\"a\":";
  EXPECT_EQ(error_of(objects + "1" + std::string(1000, '}')), "x.json: nested more than 200 deep");
}

TEST(Json, TimeGrowsWithTheLengthOfATextOnly) {
  std::string objects = "[{}";
  for (int i = 0; i < 300'000; ++i) objects += ",{}";
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_json(objects + "]", "x")->size(), 300'001u);
  // Measured: 0.25 s; with a search of the array after each of its elements, 254 s.
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
}

TEST(Json, FilesAreNamedInErrors) {
  TempDir dir;
  write_file(dir / "c.json", "{");
  EXPECT_NE(read_json_file(dir / "c.json").error().message.find("/c.json: not JSON: line 1, column 2"),
            std::string::npos);
}

TEST(Json, ExcerptsAreShortAndOneLine) {
  EXPECT_EQ(json_excerpt(Json("a\nb")), "\"a\\nb\"");
  EXPECT_EQ(json_excerpt(Json(std::string(500, 'x')), 10), "\"xxxxxxxxx...");
  EXPECT_NO_THROW(json_excerpt(Json("\xff")));
}

TEST(Printable, MakesOneLineOfAnyName) {
  EXPECT_EQ(printable("a\nb\x1b[31m"), "a?b?[31m");
  EXPECT_EQ(printable("é"), "é");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace hadal
