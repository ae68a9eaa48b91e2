// The world is wrong: a file, a model, a request. Status 1, nothing on stdout, and one line on stderr that names
// subject, expected and found.
#include <gmock/gmock.h>

#include "base/json.h"
#include "chat/tiny_model.h"
#include "cli/process.h"
#include "formats/safetensors_writer.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

void expect_wrong(const std::vector<std::string>& arguments, const std::vector<std::string>& words,
                  std::string_view input = "") {
  SCOPED_TRACE(::testing::PrintToString(arguments));
  expect_refused(run_hadal(arguments, input), kWorldWasWrong, words);
}

// The golden V3 (three files and an index), to be broken.
class BrokenGolden : public ::testing::Test {
 protected:
  void SetUp() override { testing::copy_model(fs::path(HADAL_GOLDENS) / "models/v3", model()); }
  fs::path model() const { return folder_ / "v3"; }
  fs::path second_file() const { return model() / "model-00002-of-000003.safetensors"; }
  // Of the commands that read weights, all say the same.
  void expect_all_say(const std::vector<std::string>& words) const {
    expect_wrong({"logits", model(), "--tokens", "1,2"}, words);
    expect_wrong({"inspect", model(), "--json"}, words);
    write_file(folder_ / "tokens.json", "[1,2,3]");
    expect_wrong({"gradients", model(), "--tokens-file", folder_ / "tokens.json", "--out", folder_ / "out.safetensors"},
                 words);
    EXPECT_FALSE(fs::exists(folder_ / "out.safetensors"));
  }

  TempDir folder_;
};

TEST_F(BrokenGolden, TruncatedWeightsNameFileTensorAndBothLengths) {
  fs::resize_file(second_file(), fs::file_size(second_file()) - 100);
  expect_all_say(
      {"model-00002-of-000003.safetensors", "tensor model.layers.", "expected data_offsets within", "found ["});
}

TEST_F(BrokenGolden, WeightsCutInsideTheHeaderNameTheFile) {
  fs::resize_file(second_file(), 1000);
  expect_all_say({"model-00002-of-000003.safetensors", "expected", "found"});
}

TEST_F(BrokenGolden, AbsentFileOfAShardedModelIsNamed) {
  fs::remove(second_file());
  expect_all_say({"model-00002-of-000003.safetensors: expected this shard of", "found no such file"});
}

TEST_F(BrokenGolden, MissingTensorIsNamed) {
  testing::replace_in_file(model() / "model.safetensors.index.json", "layers.1.mlp.gate.weight",
                           "layers.1.mlp.gone.weight");
  testing::replace_in_file(second_file(), "layers.1.mlp.gate.weight", "layers.1.mlp.gone.weight");
  expect_all_say({"model.layers.1.mlp.gate.weight", "expected [16, 48]", "found no such tensor"});
}

TEST_F(BrokenGolden, IndexThatPromisesWhatAFileLacksIsNamed) {
  testing::replace_in_file(second_file(), "layers.1.mlp.gate.weight", "layers.1.mlp.gone.weight");
  expect_all_say({"model-00002-of-000003.safetensors", "model.layers.1.mlp.gate.weight", "expected", "found"});
}

TEST_F(BrokenGolden, WronglyShapedTensorIsNamedWithBothShapes) {
  const std::string header = read_file(second_file()).substr(0, 20000);
  const std::size_t name = header.find("\"model.layers.1.mlp.gate.weight\""), shape = header.find("[16,48]", name);
  ASSERT_LT(shape, header.find('}', name));
  const std::string entry = header.substr(name, shape - name);
  testing::replace_in_file(second_file(), entry + "[16,48]", entry + "[48,16]");
  expect_all_say({"model.layers.1.mlp.gate.weight", "expected [16, 48]", "found [48, 16]"});
}

TEST_F(BrokenGolden, ConfigValueThatIsNotKnownIsNamedWithThoseThatAre) {
  testing::replace_in_file(model() / "config.json", "\"sigmoid\"", "\"sigmund\"");
  expect_all_say({"config.json: scoring_func: expected one of softmax, sigmoid, found \"sigmund\""});
}

TEST_F(BrokenGolden, ConfigThatIsNoJsonIsNamedWithThePlace) {
  write_file(model() / "config.json", "{\"model_type\": \"deepseek_v3\",\n \"vocab_size\": }");
  expect_all_say({"config.json: not JSON: line 2, column 16"});
}

TEST_F(BrokenGolden, WithoutConfigTheFileIsNamed) {
  fs::remove(model() / "config.json");
  expect_all_say({(model() / "config.json").string(), "No such file"});
}

TEST(Refusals, AbsentModelIsNamedByEveryCommandThatTakesOne) {
  TempDir folder;
  write_file(folder / "tokens.json", "[1,2,3]");
  const std::string absent = folder / "absent", tokens = folder / "tokens.json", out = folder / "out.safetensors";
  const std::vector<std::string> words{absent + ": expected a model's directory or .gguf file, found nothing there"};
  expect_wrong({"inspect", absent}, words);
  expect_wrong({"logits", absent, "--tokens", "1"}, words);
  expect_wrong({"gradients", absent, "--tokens-file", tokens, "--out", out}, words);
  expect_wrong({"tokenize", absent}, words, "text");
  expect_wrong({"render", absent}, words, "{\"messages\": []}");
  expect_wrong({"perplexity", absent, tokens}, words);
  expect_wrong({"inspect", tokens}, {"tokens.json: expected a directory with config.json", "found another file"});
  expect_wrong({"inspect", "no-such-name"},
               {"no-such-name: expected a model's directory, or the name of one in", "found none"});
  expect_wrong({"inspect", "absent.gguf"}, {"absent.gguf: expected a .gguf file, found none"});
  expect_wrong({"eval", tokens}, {"eval: expected a file of questions (.jsonl or .jsonl.gz)", "tokens.json"});
  expect_wrong({"inspect", ""}, {"model: expected a directory or a name, found an empty one"});
}

TEST(Refusals, TokensThatTheModelCannotTakeAreNamed) {
  const std::string model = fs::path(HADAL_GOLDENS) / "models/v3";
  expect_wrong({"logits", model, "--tokens", "1,131,2"}, {"tokens: [1]: expected an id from 0 to 130, found 131"});
  expect_wrong({"logits", model, "--tokens", "1,2", "--positions", "2"}, {"positions: expected 0 to 1, found 2"});
  expect_wrong({"logits", model, "--tokens", "1,2", "--positions", "1,0"},
               {"positions: expected them ascending, found 0 after 1"});
}

TEST(Refusals, ModelsWithoutGradientsAreNamed) {
  TempDir folder;
  write_file(folder / "tokens.json", "[1,2,3]");
  const std::string tokens = folder / "tokens.json", out = folder / "out.safetensors";
  expect_wrong({"gradients", fs::path(HADAL_GOLDENS) / "models/qwen3", "--tokens-file", tokens, "--out", out},
               {"model: model_type: expected heads without norms of their own for training, found qwen3"});
  expect_wrong(
      {"gradients", fs::path(HADAL_GOLDENS) / "gguf/v3_q4_k_m/v3_q4_k_m.gguf", "--tokens-file", tokens, "--out", out},
      {"model: kv_b_proj: expected it whole for training, found k_b and v_b apart, as in GGUF files"});
  EXPECT_FALSE(fs::exists(out));
}

struct TokensFile {
  std::string text;
  std::vector<std::string> words;
};

TEST(Refusals, TokenFileThatIsNoListOfTokensIsNamed) {
  TempDir folder;
  const std::string model = fs::path(HADAL_GOLDENS) / "models/v3", file = folder / "tokens.json";
  const std::vector<TokensFile> table{
      {"[1, 2", {"tokens.json: not JSON: line 1, column 6"}},
      {"", {"tokens.json: not JSON"}},
      {"1, 2", {"tokens.json: not JSON"}},
      {"{\"ids\": [1]}", {"tokens.json: expected a list of token ids, found {"}},
      {"[]", {"tokens: expected", "found"}},
      {"[1, \"2\"]", {"tokens.json: expected token ids, found \"2\""}},
      {"[1, 2.5]", {"tokens.json: expected token ids, found 2.5"}},
      {"[1, -1]", {"tokens.json: expected token ids, found -1"}},
      {"[1, 4294967297]", {"tokens.json: expected token ids, found 4294967297"}},  // 1, if it were cut to 32 bits
      {"[1, 131]", {"tokens: ", "expected an id", "found 131"}},
  };
  for (const TokensFile& row : table) {
    SCOPED_TRACE(row.text);
    write_file(file, row.text);
    expect_wrong({"logits", model, "--tokens-file", file}, row.words);
    expect_wrong({"gradients", model, "--tokens-file", file, "--out", folder / "out.safetensors"}, row.words);
  }
  fs::remove(file);
  expect_wrong({"logits", model, "--tokens-file", file}, {"tokens.json", "No such file"});
}

TEST(Refusals, SafetensorsThatHoldNoTokensAreNamed) {
  TempDir folder;
  const std::string model = fs::path(HADAL_GOLDENS) / "models/v3", file = folder / "tokens.safetensors";
  const auto write = [&](const TensorDeclaration& tensor, std::span<const std::byte> data) {
    auto writer = SafetensorsFileWriter::create(file, std::span(&tensor, 1));
    ASSERT_TRUE(writer.ok() && writer->append(data).ok() && writer->commit().ok());
  };
  const std::vector<std::int64_t> beyond{1, (std::int64_t{1} << 32) + 1};  // 1 and 1, if they were cut to 32 bits
  write({"tokens", DType::i64, {2}}, std::as_bytes(std::span(beyond)));
  expect_wrong({"logits", model, "--tokens-file", file}, {"tokens", "expected", "found 4294967297"});
  const std::vector<float> floats{1, 2};
  write({"tokens", DType::f32, {2}}, std::as_bytes(std::span(floats)));
  expect_wrong({"logits", model, "--tokens-file", file}, {"tensor tokens: expected integers [T], found F32 [2]"});
  write({"text", DType::f32, {2}}, std::as_bytes(std::span(floats)));
  expect_wrong({"logits", model, "--tokens-file", file}, {"tensor tokens: expected integers [T], found none"});
}

TEST(Refusals, BrokenTokenizerIsNamedByEveryCommandThatReadsOne) {
  TempDir folder;
  const TrainedTokenizer sound = testing::tiny_tokenizer("the deep sea");
  testing::write_tokenizer(folder.path(), sound);
  const auto with_merge = [&](const Json& merge) {
    Json json = *parse_json(sound.tokenizer_json, "tokenizer.json");
    json["model"]["merges"].push_back(merge);
    write_file(folder / "tokenizer.json", json.dump());
    return "merges[" + std::to_string(json["model"]["merges"].size() - 1) + "]";
  };
  const std::string model = folder.path();
  const std::string unknown = with_merge("t zzz");
  for (const char* command : {"tokenize", "render"})
    expect_wrong({command, model},
                 {"tokenizer.json: model: " + unknown + ": expected tokens of the vocabulary, found \"zzz\""});
  const std::string not_two = with_merge("t h e");
  expect_wrong({"tokenize", model}, {not_two + ": expected \"a b\" or [\"a\", \"b\"], found \"t h e\""});
  const std::string twice = with_merge(parse_json(sound.tokenizer_json, "")->at("model").at("merges").at(0));
  expect_wrong({"tokenize", model}, {twice, "are merged a second time"});
  write_file(folder / "tokenizer.json", sound.tokenizer_json.substr(0, 500));
  expect_wrong({"tokenize", model}, {"tokenizer.json: not JSON: line "});
}

TEST(Refusals, StandardInputThatCannotBeReadIsNamed) {
  TempDir folder;
  testing::write_tokenizer(folder.path(), testing::tiny_tokenizer(""));
  const std::string model = folder.path();
  expect_wrong({"tokenize", model}, {"stdin: expected UTF-8, found something else at byte 2"}, "ab\xFF");
  expect_wrong({"tokenize", model}, {"stdin: expected UTF-8, found something else at byte 1"}, "a\xE2\x82");
  expect_wrong({"tokenize", model, "--decode"}, {"stdin: not JSON"}, "[1, 2");
  expect_wrong({"tokenize", model, "--decode"}, {"stdin: ids[1]: expected 0 to 2147483647, found 2147483648"},
               "[1, 2147483648]");
  expect_wrong({"tokenize", model, "--decode"}, {"stdin: ids[0]: expected 0 to 2147483647, found -1"},
               "{\"ids\": [-1]}");
  expect_wrong({"tokenize", model, "--decode"}, {"stdin: expected", "a list of ids, found \"text\""}, "\"text\"");
  expect_wrong({"render", model}, {"request: not JSON"}, "{");
  expect_wrong({"render", model}, {"request: messages: expected a list of messages"}, "{}");
  expect_wrong({"render", model}, {"messages[0]: role: expected system, user, assistant or tool, found \"king\""},
               "{\"messages\": [{\"role\": \"king\", \"content\": \"hi\"}]}");
  expect_wrong({"render", model}, {"request: expected the keys messages,", "found \"message\""}, "{\"message\": []}");
}

TEST(Refusals, RecipeWithAWrongKeyIsNamedWithItsLine) {
  TempDir folder;
  const std::string recipe = folder / "mine.toml";
  write_file(recipe, "name = \"mine\"\noutput = \"out\"\nwork = \"work\"\n\nsead = 7\n");
  expect_wrong({"train", recipe}, {"mine.toml: unknown key sead (line 5): expected one of", "seed"});
  write_file(recipe, "name = \"mine\"\noutput = \"out\"\nwork = \"work\"\nseed = \"x\"\n");
  expect_wrong({"train", recipe, "--dry-run"}, {"mine.toml: seed: expected an integer", "found 'x' (line 4)"});
  write_file(recipe, "name = \"mine\"\noutput = \n");
  expect_wrong({"train", recipe}, {"mine.toml: not TOML: line 2"});
  expect_wrong({"train", folder / "absent.toml"}, {"absent.toml", "No such file"});
  EXPECT_FALSE(fs::exists(folder / "out") || fs::exists(folder / "work"));
}

TEST(Refusals, TextOfPerplexityThatCannotBeScoredIsNamed) {
  TempDir folder;
  testing::write_babbler(folder / "m");
  const std::string text = folder / "text.txt", model = folder / "m";
  write_file(text, "deep \xFF sea");
  expect_wrong({"perplexity", model, text}, {"text.txt: expected UTF-8, found something else at byte 5"});
  write_file(text, "");
  expect_wrong({"perplexity", model, text}, {"text.txt: expected at least one token to predict, found 0"});
  write_file(text, "the deep sea");
  expect_wrong({"perplexity", model, text, "--context", "513"}, {"--context: expected at most 512", "found 513"});
}

TEST(Refusals, OutputThatCannotBeWrittenIsNamed) {
  const std::string model = fs::path(HADAL_GOLDENS) / "models/v3";
  expect_wrong({"logits", model, "--tokens", "1,2", "--out", "/nowhere/out.safetensors"},
               {"/nowhere/out.safetensors", "No such file"});
}

}  // namespace
}  // namespace hadal
