// Recipes: what is right is read, what is wrong is one line with file, key, expected and found.
#include "trainer/recipe.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <fstream>

namespace hadal {
namespace {

const char* const kTiny = R"(
name = "tiny"
output = "out"
work = "work"
init_std = 0.05

[tokenizer]
vocab_size = 400

[model]
hidden_size = 32
intermediate_size = 48
moe_intermediate_size = 16
num_hidden_layers = 2
num_attention_heads = 2
kv_lora_rank = 16
qk_nope_head_dim = 16
qk_rope_head_dim = 8
v_head_dim = 16
n_routed_experts = 4
n_shared_experts = 1
num_experts_per_tok = 2
first_k_dense_replace = 1
scoring_func = "sigmoid"
topk_method = "noaux_tc"
max_position_embeddings = 256

[[source]]
name = "drills"
kind = "generator"
generator = "drills"

[[source]]
name = "files"
paths = ["a.jsonl", "b.jsonl.gz"]

[[stage]]
kind = "sft"
tokens = 1000
batch_tokens = 256
sequence_tokens = 128
optimizer = "muon"
mixture = { drills = 3, files = 1 }
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Recipe, IsReadWithPathsRelativeToItsFolder) {
  const auto recipe = parse_recipe(kTiny, "/some/where/tiny.toml");
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  EXPECT_EQ(recipe->output, "/some/where/out");
  EXPECT_EQ(recipe->work, "/some/where/work");
  ASSERT_EQ(recipe->sources.size(), 2u);
  EXPECT_EQ(recipe->sources[0].kind, SourceKind::generator);
  EXPECT_EQ(recipe->sources[1].paths[1], "/some/where/b.jsonl.gz");
  ASSERT_EQ(recipe->stages.size(), 1u);
  EXPECT_EQ(recipe->stages[0].train_on, TrainOn::answers);
  EXPECT_EQ(recipe->stages[0].optimizer.kind, OptimizerKind::muon);
  EXPECT_EQ(recipe->stages[0].weights, (std::vector<double>{0.75, 0.25}));
  EXPECT_EQ(recipe->stages[0].weights_at_end, recipe->stages[0].weights);
}

TEST(Recipe, AStageHasTheDefaultsThatItDoesNotSayOtherwise) {
  const std::string more =
      "[stage_defaults]\ntokens = 50\noptimizer = \"adamw\"\nlearning_rate = 0.5\n"
      "mixture = { files = 1 }\n[[stage]]\nbatch_tokens = 600\n";
  const auto recipe = parse_recipe(kTiny + more, "tiny.toml");
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  ASSERT_EQ(recipe->stages.size(), 2u);
  const StageRecipe &first = recipe->stages[0], &second = recipe->stages[1];
  EXPECT_EQ(first.tokens, 1000);
  EXPECT_EQ(first.optimizer.kind, OptimizerKind::muon);
  EXPECT_EQ(first.optimizer.learning_rate, 0.5);
  EXPECT_EQ(first.weights, (std::vector<double>{0.75, 0.25}));
  EXPECT_EQ(second.tokens, 50);
  EXPECT_EQ(second.optimizer.kind, OptimizerKind::adamw);
  EXPECT_EQ(second.weights, (std::vector<double>{0, 1}));  // a table is taken whole
  const auto wrong = parse_recipe(kTiny + std::string("[stage_defaults]\nstepps = 3\n"), "tiny.toml");
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().message.find("stepps"), std::string::npos);
}

TEST(Recipe, AStageTakesTheMixtureOfAnEarlierOneByItsName) {
  const std::string more =
      "[[stage]]\nname = 'files'\ntokens = 9\nmixture = { files = 1 }\n"
      "[[stage]]\ntokens = 9\nmixture = 'files'\nmixture_at_end = 'sft'\n"
      "[[stage]]\ntokens = 9\nmixture = 'sft'\n";
  const auto recipe = parse_recipe("only_stages = ['pretrain']\n" + (kTiny + more), "tiny.toml");
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  ASSERT_EQ(recipe->stages.size(), 2u);  // the names it takes weights from are left out
  EXPECT_EQ(recipe->stages[0].weights, (std::vector<double>{0, 1}));
  EXPECT_EQ(recipe->stages[0].weights_at_end, (std::vector<double>{0.75, 0.25}));
  EXPECT_EQ(recipe->stages[1].weights, (std::vector<double>{0.75, 0.25}));
  EXPECT_EQ(recipe->stages[1].weights_at_end, recipe->stages[1].weights);
}

TEST(Recipe, TheModelTakesItsVocabularyFromTheTokenizer) {
  const auto recipe = parse_recipe(kTiny, "tiny.toml");
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  const auto config = recipe_model_config(*recipe, {391, TokenId{3}, TokenId{5}});
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->vocab_size, 391);
  EXPECT_EQ(config->bos_token_id, TokenId{3});
  EXPECT_EQ(config->eos_token_ids, std::vector<TokenId>{TokenId{5}});
  EXPECT_EQ(config->n_routed_experts, 4);
}

struct Wrong {
  const char *from, *to;
  std::vector<const char*> said;  // all in the message
};

TEST(Recipe, WhatIsWrongIsNamed) {
  constexpr const char* kStageKeys =
      "kind = \"sft\"\ntokens = 1000\nbatch_tokens = 256\nsequence_tokens = 128\noptimizer = \"muon\"\n"
      "mixture = { drills = 3, files = 1 }";
  const Wrong cases[] = {
      {"init_std", "initial_std", {"tiny.toml", "initial_std", "line 5", "expected one of", "held_out", "start"}},
      {"output = \"out\"", "", {"tiny.toml", "output", "a string", "nothing"}},
      {"output = \"out\"", "output = 3", {"output", "a string", "3"}},
      {"output = \"out\"",
       "output = \"work\"",
       {"tiny.toml: work: expected a folder that does not lie in output", "work"}},
      {"output = \"out\"", "output = \".\"", {"expected a folder that does not"}},
      {"output = \"out\"", "output = \"..\"", {"expected a folder that does not"}},
      {"output = \"out\"",
       "output = \"../models\"\nstart = \"../models/abyss\"",
       {"tiny.toml: output: expected a folder that does not hold ../models/abyss, which the recipe reads", "line 3"}},
      {"init_std = 0.05", "start = \"out\"", {"output", "does not hold out,"}},
      {"init_std = 0.05", "held_out = \"out/list.txt\"", {"output", "does not hold out/list.txt"}},
      {"init_std = 0.05", "eval_paths = [\"b.jsonl\", \"out/gcd.jsonl\"]", {"output", "does not hold out/gcd.jsonl"}},
      {"vocab_size = 400", "path = \"out/tokens\"", {"output", "does not hold out/tokens"}},
      {"\"b.jsonl.gz\"", "\"out/b.jsonl.gz\"", {"output", "does not hold out/b.jsonl.gz"}},
      {"paths = [\"a.jsonl\"", "words = \"out/words\"\npaths = [\"a.jsonl\"", {"output", "does not hold out/words"}},
      {"init_std = 0.05", "init_std = \"x\"", {"init_std", "a number", "x"}},
      {"init_std = 0.05", "init_std = -1", {"init_std", "from 0", "-1"}},
      {"init_std = 0.05", "init_std = nan", {"init_std", "a number", "nan"}},
      {"init_std = 0.05", "arithmetic = \"slow\"", {"arithmetic", "\"fast\" \"exact\"", "slow"}},
      {"vocab_size = 400", "vocab_size = 100", {"tokenizer", "vocab_size", "300", "100"}},
      {"vocab_size = 400", "vocab_size = 400\npath = \"x\"", {"tokenizer", "vocab_size", "path"}},
      {"hidden_size = 32", "hidden_sise = 32", {"model", "hidden_si"}},
      {"hidden_size = 32", "hidden_size = 32\nvocab_size = 9", {"model", "vocab_size", "tokenizer"}},
      {"hidden_size = 32", "hidden_size = 32\ncolour = 9", {"model", "colour", "(line 12)"}},
      {"hidden_size = 32", "hidden_size = \"x\"", {"model: hidden_size: expected", "found \"x\" (line 11)"}},
      {"hidden_size = 32", "", {"model: hidden_size: expected", "found none (line 10)"}},
      {"hidden_size = 32",
       "hidden_size = 32\nrope_scaling = { type = \"twice\" }",
       {"model: rope_scaling: type: expected", "twice", "(line 12)"}},
      {"hidden_size = 32",
       "hidden_size = 32\nmodel_type = \"qwen3\"",
       {"tiny.toml: model: model_type: expected heads without norms of their own for training, found qwen3"}},
      {"topk_method = \"noaux_tc\"", "topk_method = \"best\"", {"topk_method", "best"}},
      {"generator = \"drills\"", "generator = \"poems\"", {"source[0]", "generator", "drills", "poems"}},
      {"paths = [\"a.jsonl\", \"b.jsonl.gz\"]", "paths = [1]", {"source[1]", "paths", "strings", "1"}},
      {"paths = [\"a.jsonl\", \"b.jsonl.gz\"]", "", {"source[1]", "paths", "files", "nothing"}},
      {"name = \"files\"", "name = \"drills\"", {"source", "different names", "drills"}},
      {"kind = \"sft\"", "kind = \"dream\"", {"stage[0]", "kind", "pretrain", "dream"}},
      {"tokens = 1000", "", {"stage[0]", "steps, tokens or minutes", "none (line 37)"}},
      {kStageKeys, "kind = \"grpo\"\ntokens = 1000", {"stage[0]", "steps or minutes", "none"}},
      {kStageKeys, "kind = \"grpo\"\nsteps = 1\nmtp_weight = 0.1", {"stage[0]", "mtp_weight"}},
      {kStageKeys, "kind = \"grpo\"\nsteps = 1\nmixture_at_end = { files = 1 }", {"stage[0]", "mixture_at_end"}},
      {kStageKeys, "kind = \"rejection\"\nsteps = 1\nclip_low = 0.1", {"stage[0]", "clip_low"}},
      {kStageKeys, "kind = \"grpo\"\nsteps = 1\nkeep = 2", {"stage[0]", "keep"}},
      {"init_std = 0.05",
       "eval_paths = [\"a/gcd.dev.jsonl\", \"b/gcd.jsonl\"]",
       {"eval_paths", "names differ", "gcd twice"}},
      {"sequence_tokens = 128", "sequence_tokens = 1000", {"sequence_tokens", "256", "1000"}},
      {"files = 1", "letters = 1", {"mixture", "letters", "files"}},
      {"mixture = { drills = 3, files = 1 }",
       "mixture = \"sft\"",  // itself
       {"stage[0]", "mixture", "a table, or the name of an earlier stage", "sft", "line"}},
      {"mixture = { drills = 3, files = 1 }", "mixture = 3", {"stage[0]", "mixture", "a table", "3"}},
      {"drills = 3, files = 1", "drills = 0", {"mixture", "positive", "none"}},
      {"drills = 3", "drills = -3", {"mixture", "drills", "-3"}},
      {"optimizer = \"muon\"", "optimizer = \"sgd\"", {"optimizer", "adamw", "sgd"}},
      {"[[stage]]", "[stage]", {"stage", "[[stage]]"}},
      {"[tokenizer]", "[tokeniser]", {"tokeniser"}},
      {"init_std = 0.05", "init_std = = 1", {"tiny.toml", "not TOML", "line 5"}},
  };
  for (const Wrong& wrong : cases) {
    const auto recipe = parse_recipe(replaced(kTiny, wrong.from, wrong.to), "tiny.toml");
    ASSERT_FALSE(recipe.ok()) << wrong.to;
    for (const char* word : wrong.said)
      EXPECT_NE(recipe.error().message.find(word), std::string::npos)
          << word << " is not in: " << recipe.error().message;
    EXPECT_EQ(recipe.error().message.find('\n'), std::string::npos) << recipe.error().message;
  }
}

TEST(Recipe, WhatIsNotSaidComesFromTheIncludedRecipe) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "recipe_include";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "common.toml") << kTiny;
  const auto parse = [&folder](const std::string& text) { return parse_recipe(text, folder / "own.toml"); };
  const auto recipe = parse("include = \"common.toml\"\nname = \"own\"\noutput = \"elsewhere\"\n");
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  const auto common = parse_recipe(kTiny, folder / "common.toml");
  EXPECT_EQ(recipe->name, "own");
  EXPECT_EQ(recipe->output, folder / "elsewhere");
  EXPECT_EQ(recipe->init_std, common->init_std);
  EXPECT_EQ(recipe->model_json, common->model_json);
  EXPECT_EQ(recipe->sources.size(), common->sources.size());
  EXPECT_EQ(recipe->stages.size(), common->stages.size());
  std::ofstream(folder / "between.toml") << "include = \"common.toml\"\ninit_std = 0.5";
  const auto nested = parse("include = \"between.toml\"\nname = \"own\"");
  ASSERT_TRUE(nested.ok()) << nested.error().message;
  EXPECT_EQ(nested->init_std, 0.5);
  EXPECT_EQ(nested->sources.size(), common->sources.size());
  std::ofstream(folder / "wrong.toml") << "include = \"common.toml\"\ninit_std = \"x\"";
  const auto misplaced = parse("include = \"wrong.toml\"\nname = \"own\"");
  ASSERT_FALSE(misplaced.ok());
  EXPECT_NE(misplaced.error().message.find("init_std: expected a number from 0 to 10, found 'x' (wrong.toml, line 2)"),
            std::string::npos)
      << misplaced.error().message;
  std::ofstream(folder / "circle.toml") << "include = \"circle.toml\"";
  for (const auto& [text, said] :
       {std::pair{"include = 3", "found 3"}, std::pair{"include = \"../x.toml\"", "same folder"},
        std::pair{"include = \"none.toml\"", "none.toml"},
        std::pair{"include = \"circle.toml\"", "circle.toml: include: expected at most 8"}}) {
    const auto wrong = parse(text);
    ASSERT_FALSE(wrong.ok()) << text;
    EXPECT_NE(wrong.error().message.find(said), std::string::npos) << wrong.error().message;
  }
}

TEST(Recipe, NamesOfStagesNameFiles) {
  for (const char* name : {"a/b", "..", "a\\b"}) {
    const auto recipe = parse_recipe(kTiny + fmt::format("name = '{}'\n", name), "tiny.toml");
    ASSERT_FALSE(recipe.ok()) << name;
    EXPECT_NE(recipe.error().message.find("stage[0]: name: expected letters, digits, blanks, - and _"),
              std::string::npos)
        << recipe.error().message;
  }
  EXPECT_TRUE(parse_recipe(kTiny + std::string("name = 'freer stories-2_\u00e9'\n"), "tiny.toml").ok());
  const std::string path = std::string(HADAL_SOURCE_DIR) + "/recipes/";
  const std::string rejection = "[[stage]]\nkind = 'rejection'\nsteps = 1\nname = 'kept'\nmixture = { gcd = 1 }\n";
  const auto twice = parse_recipe("include = 'r1.toml'\n" + rejection + rejection, path + "own.toml");
  ASSERT_FALSE(twice.ok());
  EXPECT_NE(twice.error().message.find("found \"kept\" twice"), std::string::npos) << twice.error().message;
}

TEST(Recipe, OnlyTheStagesThatAreNamedAreKept) {
  const std::string path = std::string(HADAL_SOURCE_DIR) + "/recipes/";
  const auto all = read_recipe(path + "r1.toml"), some = read_recipe(path + "rl-over-sft.toml");
  ASSERT_TRUE(all.ok()) << all.error().message;
  ASSERT_TRUE(some.ok()) << some.error().message;
  ASSERT_EQ(all->stages.size(), 4u);
  ASSERT_EQ(some->stages.size(), 2u);
  EXPECT_EQ(some->stages[0].name, "sft");
  EXPECT_EQ(some->stages[0].tokens, all->stages[2].tokens);
  EXPECT_EQ(some->stages[1].name, "rl");
  // In the recipe's order, whatever the list's.
  const auto turned = parse_recipe("include = \"r1.toml\"\nonly_stages = [\"rl\", \"zero\"]", path + "own.toml");
  ASSERT_TRUE(turned.ok()) << turned.error().message;
  ASSERT_EQ(turned->stages.size(), 2u);
  EXPECT_EQ(turned->stages[0].name, "zero");
  const auto unknown = parse_recipe("include = \"r1.toml\"\nonly_stages = \"reward\"", path + "own.toml");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().message,
            "own.toml: only_stages: expected names of stages (zero, cold-start, sft, rl), found \"reward\"");
}

TEST(Recipe, TheBuiltInModelsRecipeIsRight) {
  const auto recipe = read_recipe(std::filesystem::path(HADAL_SOURCE_DIR) / "recipes" / "abyss.toml");
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  EXPECT_EQ(recipe->name, "abyss");
}

TEST(Recipe, TheRecipesOfTheRepositoryAreRight) {
  int found = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(std::filesystem::path(HADAL_SOURCE_DIR) / "recipes")) {
    if (entry.path().extension() != ".toml") continue;
    const auto recipe = read_recipe(entry.path());
    ASSERT_TRUE(recipe.ok()) << recipe.error().message;
    ++found;
  }
  EXPECT_EQ(found, 19);  // abyss, abyss-rl, zero-base, zero, r1, rl-over-sft, thirteen of moe-vs-dense
}

TEST(Recipe, AFileThatIsNotThereIsNamed) {
  const auto recipe = read_recipe("/nowhere/none.toml");
  ASSERT_FALSE(recipe.ok());
  EXPECT_NE(recipe.error().message.find("none.toml"), std::string::npos);
}

}  // namespace
}  // namespace hadal
