// What a system and its control groups say, as files of a made-up root.
#include "base/free_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "base/temp_dir.h"

namespace hadal {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

class FreeMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    write("proc/meminfo", "MemTotal:  2048 kB\nMemFree:  10 kB\nMemAvailable:    1048576 kB\nBuffers: 3 kB\n");
  }
  void write(const std::string& file, const std::string& text) {
    const std::filesystem::path path = root_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::uint64_t available() const { return available_memory_bytes(root_.path()); }

 private:
  TempDir root_;
};

TEST_F(FreeMemory, IsWhatTheSystemSaysWithoutGroups) {
  EXPECT_EQ(available(), 1024 * kMiB);
  write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(available(), 1024 * kMiB);  // the group at the top has no limit file
}

TEST_F(FreeMemory, IsWhatTheTightestGroupLeavesWhereFilePagesAreFree) {
  write("proc/self/cgroup", "0::/a/b\n");
  write("sys/fs/cgroup/a/b/memory.max", "max\n");
  write("sys/fs/cgroup/a/b/memory.current", "104857600\n");
  EXPECT_EQ(available(), 1024 * kMiB);
  write("sys/fs/cgroup/a/memory.max", std::to_string(500 * kMiB) + "\n");
  write("sys/fs/cgroup/a/memory.current", std::to_string(300 * kMiB) + "\n");
  EXPECT_EQ(available(), 200 * kMiB);
  write("sys/fs/cgroup/a/memory.stat", "anon 5\nfile 1\ninactive_file 10485760\nactive_file 20971520\nslab 9\n");
  EXPECT_EQ(available(), 230 * kMiB);
  write("sys/fs/cgroup/a/memory.current", std::to_string(900 * kMiB) + "\n");
  EXPECT_EQ(available(), 0u);
}

TEST_F(FreeMemory, KnowsTheFirstVersionOfGroupsToo) {
  write("proc/self/cgroup", "12:cpu,cpuacct:/x\n9:blkio,memory:/docker/0123\n1:name=systemd:/x\nrubbish\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(64 * kMiB) + "\n");  // as seen from inside
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(24 * kMiB) + "\n");
  write("sys/fs/cgroup/memory/memory.stat", "cache 1\ntotal_inactive_file 1048576\ntotal_active_file 1048576\n");
  EXPECT_EQ(available(), 42 * kMiB);
}

TEST(FreeMemoryHere, IsSomeAndNotMoreThanThereIs) {
  const auto there_is =
      static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  EXPECT_GT(available_memory_bytes(), kMiB);
  EXPECT_LE(available_memory_bytes(), there_is);
}

}  // namespace
}  // namespace hadal
