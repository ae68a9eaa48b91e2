// A run's folders: one run at a time, and nothing but a model is replaced.
#include "trainer/work_folder.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tiny.h"
#include "trainer/training_state.h"

namespace hadal {
namespace {

Recipe recipe_in(const std::filesystem::path& folder) {
  Recipe recipe;
  recipe.work = folder / "work";
  recipe.output = folder / "out" / "model";
  return recipe;
}

void put(const std::filesystem::path& file) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << "x";
}

std::string refusal(const Status& status) {
  return status.ok() ? "" : status.error().message;
}

TEST(WorkFolder, IsOneRunsAtATime) {
  TemporaryFolder folder;
  const Recipe recipe = recipe_in(folder.path());
  {
    const auto first = WorkFolder::open(recipe, Beginning::afresh);
    ASSERT_TRUE(first.ok()) << first.error().message;
    const auto second = WorkFolder::open(recipe, Beginning::from_checkpoint);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().message,
              recipe.work.string() + ": expected no other run that is using this folder, found one under way");
    EXPECT_TRUE(WorkFolder::check(recipe, Beginning::from_checkpoint).ok());  // a dry run takes nothing from it
  }
  EXPECT_TRUE(WorkFolder::open(recipe, Beginning::afresh).ok());
}

TEST(WorkFolder, AKilledRunHoldsNothing) {
  TemporaryFolder folder;
  const Recipe recipe = recipe_in(folder.path());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto held = WorkFolder::open(recipe, Beginning::afresh);
    if (write(ends[1], held.ok() ? "y" : "n", 1) == 1) pause();
    _exit(1);
  }
  char held = 0;
  EXPECT_EQ(read(ends[0], &held, 1), 1);
  EXPECT_EQ(held, 'y');
  EXPECT_FALSE(WorkFolder::open(recipe, Beginning::afresh).ok());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ends[0]);
  close(ends[1]);
  EXPECT_TRUE(WorkFolder::open(recipe, Beginning::afresh).ok());
}

TEST(WorkFolder, OnlyAModelOrAnEmptyFolderIsReplaced) {
  TemporaryFolder folder;
  const Recipe recipe = recipe_in(folder.path());
  const auto check = [&] { return refusal(WorkFolder::check(recipe, Beginning::afresh)); };
  EXPECT_EQ(check(), "");
  put(recipe.output);
  EXPECT_EQ(check(), recipe.output.string() + ": expected a folder as output, found a file");
  EXPECT_FALSE(WorkFolder::open(recipe, Beginning::afresh).ok());
  std::filesystem::remove(recipe.output);
  std::filesystem::create_directories(recipe.output);
  EXPECT_EQ(check(), "");
  put(recipe.output / "thesis.tex");
  EXPECT_EQ(check(), recipe.output.string() +
                         ": expected an empty folder as output, or one with a model to replace, found no config.json "
                         "in it");
  put(recipe.output / "config.json");
  EXPECT_EQ(check(), "");
}

TEST(WorkFolder, CheckpointsAreForARunThatGoesOn) {
  TemporaryFolder folder;
  const Recipe recipe = recipe_in(folder.path());
  put(checkpoint_path(recipe.work, 7) / "training_state.safetensors");
  EXPECT_EQ(refusal(WorkFolder::check(recipe, Beginning::afresh)),
            recipe.work.string() +
                ": expected no checkpoints of an earlier run, found step-000000007: go on with --resume, or remove it");
  EXPECT_FALSE(WorkFolder::open(recipe, Beginning::afresh).ok());
  EXPECT_TRUE(WorkFolder::open(recipe, Beginning::from_checkpoint).ok());
}

// Killed between two renames, where the file system cannot exchange names (base/atomic_directory.h).
TEST(WorkFolder, ACheckpointThatWaitsUnderAnotherNameIsBroughtBack) {
  TemporaryFolder folder;
  const Recipe recipe = recipe_in(folder.path());
  std::filesystem::path waiting = checkpoint_path(recipe.work, 7);
  put((waiting += ".old") / "training_state.safetensors");
  EXPECT_TRUE(list_checkpoints(recipe.work).empty());
  EXPECT_FALSE(WorkFolder::open(recipe, Beginning::afresh).ok());  // it is not begun over
  EXPECT_EQ(list_checkpoints(recipe.work), std::vector<std::filesystem::path>{checkpoint_path(recipe.work, 7)});
}

}  // namespace
}  // namespace hadal
