// The built program as a process: arguments and standard input in, exit status and both outputs back.
//
// Standard input, output and error are files of a temporary folder, so that neither side ever waits for a full pipe,
// and what a running process has written can be looked at. Threads: one process, one thread.
#pragma once

#include <gmock/gmock.h>
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/temp_dir.h"

namespace hadal {

struct Outcome {
  int status = -1;  // the exit status; 128 + N when signal N ended it, as a shell says it
  std::string out, err;
};

// One `hadal ARGUMENTS...`. Still running at the end of the test, it is killed.
class Process {
 public:
  explicit Process(const std::vector<std::string>& arguments, std::string_view input = "");
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  std::string out() const { return read_file(folder_ / "out"); }  // so far
  std::string err() const { return read_file(folder_ / "err"); }
  void signal(int number) const;
  // Until it has ended. A test that waits in vain for a minute fails, and the process is killed.
  Outcome wait();

 private:
  bool has_ended();

  TempDir folder_;
  pid_t pid_ = -1;
  int wait_status_ = 0;
  bool ended_ = false;
};

inline Outcome run_hadal(const std::vector<std::string>& arguments, std::string_view input = "") {
  return Process(arguments, input).wait();
}

inline constexpr int kWorldWasWrong = 1, kWrongUsage = 2;

// Nothing on stdout, one line on stderr that begins with "hadal: " and has all of `words`.
void expect_refused(const Outcome& outcome, int status, const std::vector<std::string>& words);

// Status 0 and nothing on stderr; gives stdout.
std::string expect_done(const Outcome& outcome);

}  // namespace hadal
