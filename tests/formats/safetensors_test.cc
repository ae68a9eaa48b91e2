// One safetensors file: what is read, and every way in which a header can lie.
#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "formats/safetensors_bytes.h"

namespace hadal {
namespace {

Result<SafetensorsHeader> parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file.data(), file.size())), "f.safetensors");
}
std::string error_of(const std::string& file) {
  const auto header = parse(file);
  return header.ok() ? "no error" : header.error().message;
}
// A header over 16 bytes of data.
std::string error_of_header(const std::string& header) {
  return error_of(safetensors_bytes(header, std::string(16, 'x')));
}

const char* const kTwo = R"({"__metadata__":{"format":"pt"},
  "b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},
  "a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}})";

TEST(Safetensors, ReadsNamesShapesAndData) {
  const std::string file =
      safetensors_bytes(kTwo, raw<std::uint16_t>({0x3f80, 0x4000, 0x4040, 0x4080}) + raw({5.0f, 6.0f}));
  const auto header = parse(file);
  ASSERT_TRUE(header.ok()) << header.error().message;
  ASSERT_EQ(header->entries.size(), 2u);
  EXPECT_EQ(header->entries[0].name, "a");
  EXPECT_EQ(header->entries[0].tensor.shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(floats_of(header->entries[0].tensor), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(floats_of(header->entries[1].tensor), (std::vector<float>{5, 6}));
  EXPECT_EQ(header->metadata.at("format"), "pt");
}

TEST(Safetensors, DataMayBeginAtAnOddByte) {
  for (std::size_t padding = 0; padding < 8; ++padding) {
    const std::string file = safetensors_bytes(
        R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})" + std::string(padding, ' '), raw({7.0f}));
    const auto header = parse(file);
    ASSERT_TRUE(header.ok()) << header.error().message;
    EXPECT_EQ(floats_of(header->entries[0].tensor), std::vector<float>{7});
  }
}

TEST(Safetensors, EmptyTensorsAndScalarsAreTensors) {
  const auto header = parse(safetensors_bytes(R"({"none":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},
    "one":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"end":{"dtype":"I8","shape":[0],"data_offsets":[4,4]}})",
                                              raw({7.0f})));
  ASSERT_TRUE(header.ok()) << header.error().message;
  EXPECT_EQ(header->entries[1].tensor.elements(), 0);
  EXPECT_EQ(header->entries[2].tensor.elements(), 1);
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const std::string file = safetensors_bytes(kTwo, std::string(16, 'x'));
  ASSERT_TRUE(parse(file).ok());
  for (std::size_t size = 0; size < file.size(); ++size) EXPECT_FALSE(parse(file.substr(0, size)).ok()) << size;
  EXPECT_EQ(error_of(file + "x"), "f.safetensors: expected 16 bytes of data, found 17");
}

TEST(Safetensors, OversizedHeadersAreRefusedBeforeTheyAreRead) {
  std::string file = safetensors_bytes("{}", "");
  const std::uint64_t huge = 1ull << 60;
  std::memcpy(file.data(), &huge, 8);
  EXPECT_EQ(error_of(file),
            "f.safetensors: expected a safetensors header of at most 100000000 bytes, found 1152921504606846976");
  const std::uint64_t beyond = 50;
  std::memcpy(file.data(), &beyond, 8);
  EXPECT_EQ(error_of(file), "f.safetensors: truncated: expected a header of 50 bytes, found 10 bytes in all");
}

struct Lie {
  const char* name;
  const char* header;
  const char* says;
};
class LyingHeader : public testing::TestWithParam<Lie> {};

TEST_P(LyingHeader, IsRefusedWithTheTensorsName) {
  const std::string error = error_of_header(GetParam().header);
  EXPECT_NE(error.find(GetParam().says), std::string::npos) << error;
  EXPECT_EQ(error.find("f.safetensors: "), 0u) << error;
  EXPECT_EQ(error.find('\n'), std::string::npos);
}

const Lie kLies[] = {
    {"overlap",
     R"({"a":{"dtype":"I8","shape":[10],"data_offsets":[0,10]},"b":{"dtype":"I8","shape":[8],"data_offsets":[8,16]}})",
     "tensor b: expected data from byte 10 (tensors overlap), found byte 8"},
    {"twice_the_same_bytes",
     R"({"a":{"dtype":"I8","shape":[16],"data_offsets":[0,16]},"b":{"dtype":"I8","shape":[16],"data_offsets":[0,16]}})",
     "overlap"},
    {"gap",
     R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"I8","shape":[8],"data_offsets":[8,16]}})",
     "tensor b: expected data from byte 4 (there is a gap), found byte 8"},
    {"gap_at_start", R"({"a":{"dtype":"I8","shape":[8],"data_offsets":[8,16]}})",
     "tensor a: expected data from byte 0"},
    {"rest", R"({"a":{"dtype":"I8","shape":[8],"data_offsets":[0,8]}})", "expected 8 bytes of data, found 16"},
    {"beyond", R"({"a":{"dtype":"I8","shape":[17],"data_offsets":[0,17]}})",
     "tensor a: expected data_offsets within the 16 bytes"},
    {"backwards", R"({"a":{"dtype":"I8","shape":[16],"data_offsets":[16,0]}})",
     "tensor a: expected data_offsets [begin, end], ascending"},
    {"negative_offset", R"({"a":{"dtype":"I8","shape":[16],"data_offsets":[-16,0]}})", "ascending"},
    {"offset_beyond_64_bits", R"({"a":{"dtype":"I8","shape":[16],"data_offsets":[0,18446744073709551616]}})",
     "ascending"},
    {"three_offsets", R"({"a":{"dtype":"I8","shape":[16],"data_offsets":[0,8,16]}})", "ascending"},
    {"size_mismatch", R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}})",
     "tensor a: expected 12 bytes for F32 [3], found 16"},
    {"overflowing_shape", R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]}})",
     "tensor a: expected a shape whose size fits 63 bits"},
    {"shape_that_wraps_to_16", R"({"a":{"dtype":"I8","shape":[4611686018427387908,4],"data_offsets":[0,16]}})",
     "63 bits"},
    {"negative_dimension", R"({"a":{"dtype":"I8","shape":[-16],"data_offsets":[0,16]}})",
     "tensor a: expected dimensions that are whole"},
    {"fractional_dimension", R"({"a":{"dtype":"I8","shape":[1.6],"data_offsets":[0,16]}})",
     "dimensions that are whole"},
    {"many_dimensions", R"({"a":{"dtype":"I8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,16],"data_offsets":[0,16]}})",
     "at most 16 dimensions"},
    {"unknown_dtype", R"({"a":{"dtype":"F4","shape":[16],"data_offsets":[0,16]}})",
     "tensor a: expected a dtype of F32, F16, BF16, F8_E4M3, F8_E8M0, F64, I8, U8, I16, I32, I64, found \"F4\""},
    {"no_dtype", R"({"a":{"shape":[16],"data_offsets":[0,16]}})", "tensor a: expected a \"dtype\", found none"},
    {"no_shape", R"({"a":{"dtype":"I8","data_offsets":[0,16]}})", "expected a \"shape\""},
    {"no_offsets", R"({"a":{"dtype":"I8","shape":[16]}})", "expected a \"data_offsets\""},
    {"no_object", R"({"a":[1,2]})", "tensor a: expected an object, found [1,2]"},
    {"duplicate_name",
     R"({"a":{"dtype":"I8","shape":[8],"data_offsets":[0,8]},"a":{"dtype":"I8","shape":[8],"data_offsets":[8,16]}})",
     "key \"a\" stands twice"},
    {"metadata_of_numbers", R"({"__metadata__":{"n":1},"a":{"dtype":"I8","shape":[16],"data_offsets":[0,16]}})",
     "__metadata__: expected an object of strings"},
    {"list", "[]", "header: expected an object, found []"},
    {"no_json", "{nonsense", "header: not JSON: line 1, column 3"},
    {"empty", "", "not JSON"},
    {"broken_utf8", "{\"\xff\":{}}", "not JSON"},
    {"line_break_in_name", "{\"a\\nb\":3}", "tensor a?b: expected an object"},
};
INSTANTIATE_TEST_SUITE_P(Header, LyingHeader, testing::ValuesIn(kLies),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Safetensors, DeepNestingDoesNotOverflowTheStack) {
  EXPECT_NE(error_of_header(std::string(200000, '[')).find("nested more than 200 deep"), std::string::npos);
  EXPECT_EQ(error_of(safetensors_bytes(std::string(100000, '[') + std::string(100000, ']'), "")),
            "f.safetensors: header: nested more than 200 deep");
}

TEST(Safetensors, OpensAFileByNameAndFindsItsTensors) {
  TempDir dir;
  write_file(dir / "x.safetensors", safetensors_bytes(kTwo, std::string(16, '\0')));
  const auto source = Safetensors::open(dir / "x.safetensors");
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_EQ(source->names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(source->find("b")->file, "x.safetensors");
  EXPECT_FALSE(source->find("c").has_value());
  EXPECT_EQ(source->metadata().at("format"), "pt");
}

TEST(Safetensors, WhatIsNotThereOrNoFileIsNamed) {
  TempDir dir;
  EXPECT_EQ(Safetensors::open(dir / "x.safetensors").error().kind, ErrorKind::not_found);
  const auto empty_directory = Safetensors::open(dir.path());
  ASSERT_FALSE(empty_directory.ok());
  EXPECT_NE(
      empty_directory.error().message.find("expected model.safetensors or model.safetensors.index.json, found neither"),
      std::string::npos);
  write_file(dir / "model.safetensors", "");
  EXPECT_NE(Safetensors::open(dir.path()).error().message.find("found 0 bytes"), std::string::npos);
}

// Files that Hugging Face's own library wrote.
TEST(Safetensors, ReadsGoldenFiles) {
  const auto source = Safetensors::open(HADAL_GOLDENS "/models/v2_lite/golden.safetensors");
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_EQ(source->find("tokens")->shape, std::vector<std::int64_t>{97});
  EXPECT_EQ(source->find("logits")->shape, (std::vector<std::int64_t>{97, 131}));
  for (std::int64_t id : integers_of(*source->find("tokens"))) {
    EXPECT_GE(id, 0);
    EXPECT_LT(id, 131);
  }
}

}  // namespace
}  // namespace hadal
