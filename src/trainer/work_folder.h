// The folders of a run: what may lie in them before it, and that no other run is using them.
//
// A lock on `<work>/lock` is held as long as the object lives, and goes with the process however it ends; the file
// itself stays and says nothing. One thread.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/result.h"
#include "trainer/recipe.h"

namespace hadal {

enum class Beginning { afresh, from_checkpoint };  // where there is one

class WorkFolder {
 public:
  // That folders are there or could be made, that what `output` replaces is a model, and that a run which begins afresh
  // meets no checkpoints. Writes nothing: for a dry run. Of another run that is using them it says nothing.
  static Status check(const Recipe& recipe, Beginning beginning);

  // Makes the folders and takes the lock; brings back what a killed run left under another name, and checks.
  static Result<WorkFolder> open(const Recipe& recipe, Beginning beginning);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  explicit WorkFolder(std::FILE* lock) : lock_(lock) {}
  std::unique_ptr<std::FILE, Close> lock_;
};

}  // namespace hadal
