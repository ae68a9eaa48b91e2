// OrderedJson against what Python 3.11's json.dumps(json.loads(text), ensure_ascii=False) prints for the same text.
#include "text/ordered_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

std::string dumped(std::string_view text) {
  const auto json = OrderedJson::parse(text, "text");
  return json.ok() ? json->dump() : "error: " + json.error().message;
}

TEST(OrderedJson, KeepsTheOrderOfKeysAndPythonsSpacing) {
  EXPECT_EQ(dumped(R"({"z":1,"a":[true,false,null,{"k":[]}],"m":{}})"),
            R"({"z": 1, "a": [true, false, null, {"k": []}], "m": {}})");
}

TEST(OrderedJson, WritesFloatsAsPythonPrintsThem) {
  const std::pair<const char*, const char*> cases[] = {{"1.0", "1.0"},
                                                       {"1e0", "1.0"},
                                                       {"-0.0", "-0.0"},
                                                       {"0.1", "0.1"},
                                                       {"1e16", "1e+16"},
                                                       {"1e15", "1000000000000000.0"},
                                                       {"-2.5e-7", "-2.5e-07"},
                                                       {"0.0001", "0.0001"},
                                                       {"0.00001", "1e-05"},
                                                       {"1e100", "1e+100"},
                                                       {"1.5E3", "1500.0"},
                                                       {"5e-324", "5e-324"},
                                                       {"1e400e", "error: "},
                                                       {"123456789012345680.0", "1.2345678901234568e+17"},
                                                       {"9007199254740993.0", "9007199254740992.0"}};
  for (const auto& [text, expected] : cases) {
    if (std::string_view(expected) == "error: ")
      EXPECT_EQ(dumped(text).substr(0, 7), expected);
    else
      EXPECT_EQ(dumped(text), expected) << text;
  }
}

TEST(OrderedJson, WholeNumbersKeepAllTheirDigits) {
  for (const char* digits :
       {"0", "-7", "18446744073709551615", "-9223372036854775808", "123456789012345678901234567890"})
    EXPECT_EQ(dumped(digits), digits);
}

TEST(OrderedJson, EscapesWhatJsonMustAndNothingElse) {
  EXPECT_EQ(dumped(R"("\"\\\/\b\f\n\r\t\u0001\u001f\u007f\u00e9\u2028\ud83d\ude00</tool>")"),
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7fé\u2028😀</tool>\"");
}

TEST(OrderedJson, IndentsAsPythonDoes) {
  const auto json = OrderedJson::parse(R"({"a": [1, {"b": []}], "c": {}, "d": "x"})", "text");
  EXPECT_EQ(
      json->dump_indented(4),
      "{\n    \"a\": [\n        1,\n        {\n            \"b\": []\n        }\n    ],\n    \"c\": {},\n    \"d\": "
      "\"x\"\n}");
  EXPECT_EQ(OrderedJson::parse("[]", "text")->dump_indented(4), "[]");
}

TEST(OrderedJson, FindsFieldsAndTellsNullFromAbsent) {
  const auto json = OrderedJson::parse(R"({"a": null, "b": "x"})", "text");
  ASSERT_NE(json->find("a"), nullptr);
  EXPECT_TRUE(json->find("a")->is_null());
  EXPECT_EQ(json->find_value("a"), nullptr);
  EXPECT_EQ(json->find("c"), nullptr);
  EXPECT_EQ(json->find_value("b")->string(), "x");
  EXPECT_EQ(json->find("b")->find("c"), nullptr);
}

TEST(OrderedJson,
     ManyKeysTakeNoLongerThanTheyAreMany) {  // a request may hold 600 000; a list searched for each would not end
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":0";
  EXPECT_EQ(OrderedJson::parse(text + "}", "text")->items().size(), 200'000u);
}

TEST(OrderedJson, RefusesWhatParseJsonRefuses) {
  EXPECT_EQ(dumped(R"({"a": 1, "a": 2})"), "error: text: key \"a\" stands twice in one object");
  EXPECT_THAT(dumped("{"), testing::HasSubstr("not JSON"));
  EXPECT_THAT(dumped(std::string(300, '[')), testing::HasSubstr("nested more than"));
}

TEST(OrderedJson, OfATreeIsTheSameValue) {
  const Json tree = Json::parse(R"({"a":[1,-2,1.5,1e16,"x",true,null,18446744073709551615],"b":{"c":[]}})");
  EXPECT_EQ(OrderedJson::of(tree).dump(), dumped(tree.dump()));
}

}  // namespace
}  // namespace hadal
