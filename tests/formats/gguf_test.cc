// GGUF in: what files of independent makers hold, and that lying ones are refused by name. And out: what is written
// reads back.
#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/interleaved_rows.h"
#include "base/rng.h"
#include "base/temp_dir.h"
#include "formats/gguf_writer.h"
#include "formats/safetensors.h"
#include "gguf_bytes.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

Result<Gguf> parse(const std::string& file) {
  return Gguf::parse(std::as_bytes(std::span(file.data(), file.size())), "f.gguf");
}
std::string error_of(const std::string& file) {
  const auto parsed = parse(file);
  return parsed.ok() ? "no error" : parsed.error().message;
}

GgufBytes small() {
  GgufBytes file;
  file.keys = {gguf_string_key("general.architecture", "deepseek2"), gguf_u32_key("deepseek2.block_count", 3),
               gguf_strings_key("tokenizer.ggml.tokens", {"a", "", "b"})};
  file.tensors = {gguf_tensor("x", {3, 2}, 0, 0), gguf_tensor("y", {32}, 8, 32)};
  file.data = raw({1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f}) + std::string(8, '\0') + std::string(34, '\1');
  return file;
}

TEST(Gguf, KeysAreReadByTheirTypes) {
  const std::string file = small().file();  // which the views point into
  const Gguf f = std::move(parse(file)).value();
  EXPECT_EQ(f.string("general.architecture").value(), "deepseek2");
  EXPECT_EQ(f.integer("deepseek2.block_count").value(), 3);
  EXPECT_EQ(f.number("deepseek2.block_count").value(), 3.0);
  EXPECT_EQ(f.strings("tokenizer.ggml.tokens").value(), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(f.string("absent").value(), std::nullopt);
  EXPECT_EQ(f.integer("general.architecture").error().message,
            "f.gguf: key general.architecture: expected a whole number below 2^63, found string");
  EXPECT_EQ(f.string("tokenizer.ggml.tokens").error().message,
            "f.gguf: key tokenizer.ggml.tokens: expected a string, found an array of string");
}

TEST(Gguf, ShapesAreRowMajor) {
  const std::string file = small().file();  // which the views point into
  const Gguf f = std::move(parse(file)).value();
  const TensorView x = f.find("x").value();
  EXPECT_EQ(x.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(floats_of(x), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(f.find("y")->dtype, DType::q8_0);
  EXPECT_FALSE(f.find("z").has_value());
  EXPECT_EQ(f.names(), (std::vector<std::string>{"x", "y"}));
}

TEST(Gguf, GoldensOfIndependentMakersAreRead) {
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(std::string(HADAL_GOLDENS) + "/gguf")) {
    if (entry.path().extension() != ".gguf") continue;
    const auto f = Gguf::open(entry.path());
    ASSERT_TRUE(f.ok()) << f.error().message;
    EXPECT_GT(f->names().size(), 20u);
    EXPECT_TRUE(f->string("general.architecture").value().has_value());
    ++files;
  }
  EXPECT_EQ(files, 8);
  const auto real = Gguf::open(std::string(HADAL_GOLDENS) + "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  ASSERT_TRUE(real.ok()) << real.error().message;
  EXPECT_EQ(real->strings("tokenizer.ggml.tokens").value()->size(), 49152u);
}

TEST(Gguf, CutAnywhereIsAnErrorThatNamesTheFile) {
  const std::string whole = small().file();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string error = error_of(whole.substr(0, size));
    EXPECT_EQ(error.rfind("f.gguf: ", 0), 0u) << size << ": " << error;
  }
  EXPECT_EQ(error_of(whole), "no error");
}

// Any byte may be anything: an error or a value, but every view lies inside the file.
TEST(Gguf, ChangedBytesNeverLeadOutOfTheFile) {
  const std::string whole = small().file();
  Rng rng(7);
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string file = whole;
    for (int i = 0; i < 3; ++i) file[rng.next_below(file.size())] = static_cast<char>(rng.next_below(256));
    const auto parsed = parse(file);
    refused += !parsed.ok();
    if (!parsed.ok()) continue;
    for (const std::string& name : parsed->names()) {
      const auto bytes = parsed->find(name)->bytes;
      ASSERT_GE(reinterpret_cast<const char*>(bytes.data()), file.data());
      ASSERT_LE(reinterpret_cast<const char*>(bytes.data() + bytes.size()), file.data() + file.size());
    }
  }
  EXPECT_GT(refused, 5'000);
}

struct Lie {
  const char* name;
  std::string file, says;
};

std::vector<Lie> lies() {
  const auto with = [](auto change) {
    GgufBytes file = small();
    change(file);
    return file.file();
  };
  std::string counts = small().file();
  const std::string many = raw({~std::uint64_t{0}});
  std::string tensor_count = counts, key_count = counts;
  tensor_count.replace(8, 8, many);
  key_count.replace(16, 8, many);
  const std::uint64_t huge = std::uint64_t{1} << 62;
  return {
      {"magic", "GGML" + counts.substr(4), "f.gguf: magic: expected GGUF"},
      {"version", with([](auto& f) { f.version = 1; }), "f.gguf: version: expected 2 or 3 (little-endian), found 1"},
      {"tensor_count", tensor_count, "f.gguf: tensor count: expected at most"},
      {"key_count", key_count, "f.gguf: key count: expected at most"},
      {"key_twice", with([](auto& f) { f.keys.push_back(f.keys[1]); }), "key deepseek2.block_count: expected it once"},
      {"value_type", with([](auto& f) {
         f.keys.push_back(gguf_text("k") + raw({13u, 0u}));
       }),
       "key k: expected a value type from 0 to 12, found 13"},
      {"nested", with([](auto& f) {
         f.keys.push_back(gguf_text("k") + raw({9u, 9u}) + raw({std::uint64_t{5}}));
       }),
       "key k: expected an array of numbers or strings, found an array of arrays"},
      {"array_count", with([&](auto& f) {
         f.keys.push_back(gguf_text("k") + raw({9u, 10u}) + raw({huge}));
       }),
       "key k: expected at most"},
      {"string_array_count", with([&](auto& f) {
         f.keys.push_back(gguf_text("k") + raw({9u, 8u}) + raw({huge}));
       }),
       "key k: expected at most"},
      {"string_past_end", with([&](auto& f) { f.keys.push_back(gguf_text("k") + raw({8u}) + raw({huge})); }),
       "key k: expected at most"},
      {"alignment_zero", with([](auto& f) { f.keys.push_back(gguf_u32_key("general.alignment", 0)); }),
       "key general.alignment: expected a power of two up to 1048576, found 0"},
      {"alignment_odd", with([](auto& f) { f.keys.push_back(gguf_u32_key("general.alignment", 48)); }), "found 48"},
      {"alignment_absurd", with([](auto& f) { f.keys.push_back(gguf_u32_key("general.alignment", 1u << 31)); }),
       "found 2147483648"},
      {"alignment_text", with([](auto& f) { f.keys.push_back(gguf_string_key("general.alignment", "32")); }),
       "found string"},
      {"tensor_twice", with([](auto& f) { f.tensors[1] = gguf_tensor("x", {32}, 8, 32); }),
       "tensor x: expected it once"},
      {"no_dimensions", with([](auto& f) { f.tensors[0] = gguf_tensor("x", {}, 0, 0); }),
       "tensor x: expected 1 to 4 dimensions, found 0"},
      {"five_dimensions", with([](auto& f) {
         f.tensors[0] = gguf_tensor("x", {1, 1, 1, 1, 1}, 0, 0);
       }),
       "found 5"},
      {"product", with([&](auto& f) {
         f.tensors[0] = gguf_tensor("x", {huge, 8}, 0, 0);
       }),
       "tensor x: expected dimensions above zero"},
      {"zero", with([](auto& f) {
         f.tensors[0] = gguf_tensor("x", {0, 8}, 0, 0);
       }),
       "tensor x: expected dimensions above zero"},
      {"type", with([](auto& f) {
         f.tensors[0] = gguf_tensor("x", {3, 2}, 4, 0);
       }),
       "tensor x: expected a tensor type that hadal knows, found number 4"},
      {"tiles_of_no_type", with([](auto& f) {
         f.tensors[0] = gguf_tensor("x", {32, 16}, 1000 + 3, 0);
       }),
       "tensor x: expected a tensor type that hadal knows, found number 1003"},
      {"part_of_tile", with([](auto& f) {
         f.tensors[1] = gguf_tensor("y", {32, 8}, 1000 + 8, 32);
       }),
       "tensor y: expected a multiple of 16 rows in tiles, found [8, 32]"},
      {"tile_of_no_rows", with([](auto& f) { f.tensors[1] = gguf_tensor("y", {32}, 1000 + 8, 32); }),
       "tensor y: expected a multiple of 16 rows in tiles, found [32]"},
      {"part_of_block", with([](auto& f) { f.tensors[1] = gguf_tensor("y", {33}, 8, 32); }),
       "tensor y: expected rows of whole Q8_0 blocks of 32 values"},
      {"misaligned", with([](auto& f) { f.tensors[1] = gguf_tensor("y", {32}, 8, 33); }),
       "tensor y: expected an offset that is a multiple of 32"},
      {"past_end", with([](auto& f) { f.tensors[1] = gguf_tensor("y", {32}, 8, 64); }),
       "tensor y: expected 34 bytes at 64 of the data"},
      {"offset_wraps", with([](auto& f) { f.tensors[1] = gguf_tensor("y", {32}, 8, ~std::uint64_t{31}); }),
       "tensor y: expected 34 bytes"},
      {"overlap", with([](auto& f) { f.tensors[1] = gguf_tensor("y", {32}, 8, 0); }), "expected data behind that of"},
  };
}

class LyingGguf : public ::testing::TestWithParam<Lie> {};
TEST_P(LyingGguf, IsRefusedInOneLineAtOnce) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string error = error_of(GetParam().file);
  EXPECT_NE(error.find(GetParam().says), std::string::npos) << error;
  EXPECT_EQ(error.find('\n'), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
}
INSTANTIATE_TEST_SUITE_P(Lies, LyingGguf, ::testing::ValuesIn(lies()),
                         [](const auto& lie) { return std::string(lie.param.name); });

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string part(int number, int count, const std::string& tensor) {
  GgufBytes file;
  file.keys = {gguf_u32_key("split.no", static_cast<std::uint32_t>(number)),
               gguf_u32_key("split.count", static_cast<std::uint32_t>(count))};
  file.tensors = {gguf_tensor(tensor, {1}, 0, 0)};
  file.data = raw({static_cast<float>(number)});
  return file.file();
}

TEST(SplitGguf, AnyOfItsFilesOpensAll) {
  TempDir dir;
  for (int i = 0; i < 3; ++i)
    write(dir.path() / ("m-0000" + std::to_string(i + 1) + "-of-00003.gguf"), part(i, 3, "t" + std::to_string(i)));
  for (const char* name : {"m-00001-of-00003.gguf", "m-00003-of-00003.gguf"}) {
    const auto f = Gguf::open(dir.path() / name);
    ASSERT_TRUE(f.ok()) << f.error().message;
    ASSERT_EQ(f->names().size(), 3u);
    EXPECT_EQ(floats_of(*f->find("t2")), std::vector<float>{2});
    EXPECT_EQ(f->find("t2")->file, "m-00003-of-00003.gguf");
    EXPECT_EQ(f->integer("split.no").value(), 0);
  }
}

TEST(SplitGguf, MissingSwappedAndRenamedFilesAreNamed) {
  TempDir dir;
  write(dir.path() / "m-00001-of-00002.gguf", part(0, 2, "a"));
  EXPECT_NE(Gguf::open(dir.path() / "m-00001-of-00002.gguf").error().message.find("expected file 2 of 2, found none"),
            std::string::npos);
  write(dir.path() / "m-00002-of-00002.gguf", part(0, 2, "b"));  // points to itself
  EXPECT_NE(Gguf::open(dir.path() / "m-00001-of-00002.gguf")
                .error()
                .message.find("expected part 1 of 2 (split.no, split.count), found 0 of 2"),
            std::string::npos);
  write(dir.path() / "m-00002-of-00002.gguf", part(1, 2, "a"));
  EXPECT_NE(Gguf::open(dir.path() / "m-00001-of-00002.gguf").error().message.find("tensor a: expected it in one file"),
            std::string::npos);
  write(dir.path() / "other.gguf", part(0, 2, "a"));
  EXPECT_NE(
      Gguf::open(dir.path() / "other.gguf").error().message.find("expected a name that ends in -00001-of-00002.gguf"),
      std::string::npos);
}

TEST(GgufWriter, TilesReadBackAsTheirRows) {
  TempDir dir;
  std::vector<std::byte> rows(2 * 16 * 34), tiles(rows.size());  // two matrices of 16 rows
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = static_cast<std::byte>(i % 34 == 1 ? 0x20 + i % 5 : i % 34 == 0 ? 0 : i * 7 % 251);
  for (std::size_t at = 0; at < rows.size(); at += 16 * 34)
    interleave_rows(DType::q8_0, rows.data() + at, 34, tiles.data() + at);
  auto writer = GgufWriter::create(dir.path() / "t.gguf", {},
                                   {{"apart", DType::q8_0, {2, 16, 32}}, {"tiles", DType::q8_0, {2, 16, 32}, true}});
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  ASSERT_TRUE(writer->append(rows).ok() && writer->append(tiles).ok() && writer->commit().ok());
  const Gguf f = std::move(Gguf::open(dir.path() / "t.gguf")).value();
  EXPECT_EQ(storage_name(*f.find("tiles")), "Q8_0 x16");
  EXPECT_EQ(floats_of(*f.find("tiles")), floats_of(*f.find("apart")));
  std::vector<float> some(3 * 32);
  read_rows(*f.find("tiles"), 15, 3, some.data());
  const std::vector<float> all = floats_of(*f.find("apart"));
  EXPECT_EQ(some, std::vector<float>(all.begin() + 15 * 32, all.begin() + 18 * 32));
}

TEST(GgufWriter, WhatIsWrittenReadsBack) {
  TempDir dir;
  const std::vector<std::string> words = {"x", "yz", ""};
  const std::vector<std::int32_t> kinds = {1, -3};
  GgufKeys keys;
  keys.string("general.architecture", "llama")
      .u32("n", 7)
      .f32("eps", 1e-6f)
      .boolean("b", true)
      .strings("words", words)
      .i32s("kinds", kinds);
  auto writer =
      GgufWriter::create(dir.path() / "w.gguf", keys, {{"a", DType::f32, {2, 3}}, {"b", DType::q8_0, {1, 32}}});
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  const std::vector<float> a = {1, 2, 3, 4, 5, 6};
  const std::vector<std::byte> b(34, std::byte{1});
  ASSERT_TRUE(writer->append(std::as_bytes(std::span(a).first(2))).ok());
  ASSERT_TRUE(writer->append(std::as_bytes(std::span(a).subspan(2))).ok());
  ASSERT_TRUE(writer->append(b).ok());
  ASSERT_TRUE(writer->commit().ok());
  const Gguf f = std::move(Gguf::open(dir.path() / "w.gguf")).value();
  EXPECT_EQ(f.string("general.architecture").value(), "llama");
  EXPECT_EQ(f.integer("n").value(), 7);
  EXPECT_EQ(f.number("eps").value(), static_cast<double>(1e-6f));
  EXPECT_EQ(f.boolean("b").value(), true);
  EXPECT_EQ(f.strings("words").value(), (std::vector<std::string_view>{"x", "yz", ""}));
  EXPECT_EQ(f.integers("kinds").value(), (std::vector<std::int64_t>{1, -3}));
  EXPECT_EQ(floats_of(*f.find("a")), a);
  EXPECT_EQ(f.find("b")->bytes.size(), 34u);

  GgufKeys copied;
  for (const auto& [key, value] : f.values()) copied.copy(key, value);
  auto again = GgufWriter::create(dir.path() / "again.gguf", copied, {});
  ASSERT_TRUE(again.ok() && again->commit().ok());
  const Gguf g = std::move(Gguf::open(dir.path() / "again.gguf")).value();
  EXPECT_EQ(g.strings("words").value(), f.strings("words").value());
}

}  // namespace
}  // namespace hadal
