#include "cli/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

namespace hadal {

Process::Process(const std::vector<std::string>& arguments, std::string_view input) {
  write_file(folder_ / "in", std::string(input));
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  const int write_flags = O_WRONLY | O_CREAT | O_APPEND;
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, (folder_ / "in").c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, (folder_ / "out").c_str(), write_flags, 0600);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, (folder_ / "err").c_str(), write_flags, 0600);
  std::vector<std::string> words = {HADAL_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int failed = posix_spawn(&pid_, HADAL_PROGRAM, &files, /*attributes=*/nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  EXPECT_EQ(failed, 0) << HADAL_PROGRAM << ": " << std::strerror(failed);
  ended_ = failed != 0;
}

Process::~Process() {
  if (ended_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, &wait_status_, 0);
}

void Process::signal(int number) const {
  ::kill(pid_, number);
}

bool Process::has_ended() {
  if (!ended_) ended_ = ::waitpid(pid_, &wait_status_, WNOHANG) == pid_;
  return ended_;
}

Outcome Process::wait() {
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  for (auto pause = std::chrono::microseconds(200); !has_ended(); pause = std::min(2 * pause, decltype(pause)(5000))) {
    if (std::chrono::steady_clock::now() > until) {
      ADD_FAILURE() << "still running after a minute; stderr so far: " << err();
      return {};
    }
    std::this_thread::sleep_for(pause);
  }
  const int status = WIFEXITED(wait_status_) ? WEXITSTATUS(wait_status_) : 128 + WTERMSIG(wait_status_);
  return {status, out(), err()};
}

void expect_refused(const Outcome& outcome, int status, const std::vector<std::string>& words) {
  EXPECT_EQ(outcome.status, status) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err.rfind("hadal: ", 0), 0u) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_TRUE(outcome.err.ends_with('\n')) << outcome.err;
  for (const std::string& word : words) EXPECT_THAT(outcome.err, ::testing::HasSubstr(word));
}

std::string expect_done(const Outcome& outcome) {
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return outcome.out;
}

}  // namespace hadal
