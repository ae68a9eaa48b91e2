// Files and directories that appear whole or not at all, also when the disk is full or the process is killed.
#include "base/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic_directory.h"
#include "base/file.h"
#include "base/mapped_file.h"
#include "base/temp_dir.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

TEST(AtomicFile, AppearsWithCommitAndReplacesTheOld) {
  TempDir dir;
  write_file(dir / "f", "old");
  auto file = AtomicFile::create(dir / "f");
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_TRUE(file->append("new ").ok() && file->append("text").ok());
  EXPECT_EQ(file->size_bytes(), 8u);
  EXPECT_EQ(read_file(dir / "f"), "old");
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(read_file(dir / "f"), "new text");
  EXPECT_FALSE(fs::exists(dir / "f.part"));
}

TEST(AtomicFile, DroppedItLeavesTheOldAndNoRest) {
  TempDir dir;
  write_file(dir / "f", "old");
  {
    auto file = AtomicFile::create(dir / "f");
    ASSERT_TRUE(file->append("half").ok());
  }
  EXPECT_EQ(read_file(dir / "f"), "old");
  EXPECT_FALSE(fs::exists(dir / "f.part"));
}

TEST(AtomicFile, ALinkStaysAndItsFileIsReplaced) {
  TempDir dir;
  write_file(dir / "f", "old");
  fs::create_symlink("f", dir / "link");
  ASSERT_TRUE(write_file_atomically(dir / "link", "new").ok());
  EXPECT_TRUE(fs::is_symlink(dir / "link"));
  EXPECT_EQ(read_file(dir / "f"), "new");
}

TEST(AtomicFile, WhatALinkLeadsToIsMadeWhereNothingIsYet) {
  TempDir dir;
  fs::create_directory(dir / "folder");
  fs::create_symlink("folder/other", dir / "link");
  fs::create_symlink("f", dir / "folder" / "other");
  ASSERT_TRUE(write_file_atomically(dir / "link", "new").ok());
  EXPECT_TRUE(fs::is_symlink(dir / "link") && fs::is_symlink(dir / "folder" / "other"));
  EXPECT_EQ(read_file(dir / "folder" / "f"), "new");

  fs::create_symlink("circle", dir / "circle");
  const auto circle = AtomicFile::create(dir / "circle");
  ASSERT_FALSE(circle.ok());
  EXPECT_NE(circle.error().message.find("/circle: cannot follow the link: "), std::string::npos);
}

TEST(AtomicFile, WhatIsNoFileIsWrittenAsItIs) {
  TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  const int reader = ::open((dir / "pipe").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  ASSERT_TRUE(write_file_atomically(dir / "pipe", "text").ok());
  char bytes[8];
  EXPECT_EQ(::read(reader, bytes, sizeof bytes), 4);
  ::close(reader);
  EXPECT_TRUE(fs::is_fifo(dir / "pipe"));
  EXPECT_TRUE(write_file_atomically("/dev/null", "x").ok());
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  const auto folder = AtomicFile::create(dir.path());
  ASSERT_FALSE(folder.ok());
  EXPECT_EQ(folder.error().message, dir.path().string() + ": expected a file, found a directory");
}

TEST(AtomicFile, LargePiecesArriveUnchanged) {
  TempDir dir;
  std::string text(5'000'003, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 + i / 251);
  auto file = AtomicFile::create(dir / "f");
  for (std::size_t at = 0; at < text.size(); at += 700'001)
    ASSERT_TRUE(file->append(std::string_view(text).substr(at, 700'001)).ok());
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(read_file(dir / "f"), text);
}

mode_t permissions_of(const fs::path& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 0777 : 0;
}

TEST(AtomicFile, IsReadableAsTheUmaskAllows) {
  TempDir dir;
  const mode_t before = ::umask(022);
  ASSERT_TRUE(write_file_atomically(dir / "f", "x").ok());
  ::umask(before);
  EXPECT_EQ(permissions_of(dir / "f"), 0644u);
}

TEST(AtomicFile, TheReplacedFilesPermissionsStay) {
  for (const mode_t permissions : {0600, 0664, 0400}) {
    TempDir dir;
    write_file(dir / "f", "old");
    write_file(dir / "f.part", "what a killed writer left");
    ASSERT_EQ(::chmod((dir / "f.part").c_str(), 0644), 0);
    ASSERT_EQ(::chmod((dir / "f").c_str(), permissions), 0);
    auto file = AtomicFile::create(dir / "f");
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(permissions_of(dir / "f.part"), permissions | S_IWUSR);  // before there is anything to read
    ASSERT_TRUE(file->append("new").ok() && file->commit().ok());
    EXPECT_EQ(permissions_of(dir / "f"), permissions);
    EXPECT_EQ(read_file(dir / "f"), "new");
  }
}

TEST(AtomicFile, APartOfALivingWriterIsNotTakenAndOneOfADeadWriterIs) {
  TempDir dir;
  {
    const auto first = AtomicFile::create(dir / "f");
    ASSERT_TRUE(first.ok());
    const auto second = AtomicFile::create(dir / "f");
    ASSERT_FALSE(second.ok());
    EXPECT_NE(second.error().message.find("f.part: another process is writing it"), std::string::npos);
  }
  write_file(dir / "f.part", "what a killed writer left");
  ASSERT_TRUE(write_file_atomically(dir / "f", "x").ok());
  EXPECT_EQ(read_file(dir / "f"), "x");
}

// A limit of file size stands in for a full disk: write() refuses alike.
TEST(AtomicFile, AFullDiskIsAnErrorThatKeepsTheOldFile) {
  TempDir dir;
  write_file(dir / "f", "old");
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100'000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  auto file = AtomicFile::create(dir / "f");
  const Status appended = file->append(std::string(3'000'000, 'x'));
  const Status after = file->append("more");
  const Status committed = file->commit();
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  ASSERT_FALSE(appended.ok());
  EXPECT_EQ(appended.error().kind, ErrorKind::io);
  EXPECT_NE(appended.error().message.find("/f: cannot write, "), std::string::npos) << appended.error().message;
  EXPECT_FALSE(after.ok());
  EXPECT_FALSE(committed.ok());
  EXPECT_EQ(read_file(dir / "f"), "old");
  EXPECT_FALSE(fs::exists(dir / "f.part"));
}

TEST(AtomicFile, AFolderThatIsNotThereIsNamed) {
  const auto file = AtomicFile::create("/no/such/folder/f");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().message, "/no/such/folder/f.part: cannot create: No such file or directory");
}

// --- directories

void fill(const AtomicDirectory& directory, const std::string& text) {
  ASSERT_TRUE(write_file_atomically(directory.part() / "f", text).ok());
}

TEST(AtomicDirectory, AppearsWithCommitAndReplacesTheOldWhole) {
  TempDir dir;
  for (const char* text : {"first", "second", "third"}) {
    auto directory = AtomicDirectory::create(dir / "d");
    ASSERT_TRUE(directory.ok()) << directory.error().message;
    fill(*directory, text);
    const Status status = directory->commit();
    ASSERT_TRUE(status.ok()) << status.error().message;
    EXPECT_EQ(read_file(dir / "d" / "f"), text);
  }
  EXPECT_FALSE(fs::exists(dir / "d.part") || fs::exists(dir / "d.old"));
}

TEST(AtomicDirectory, DroppedItLeavesTheOld) {
  TempDir dir;
  fs::create_directory(dir / "d");
  write_file(dir / "d" / "f", "old");
  {
    auto directory = AtomicDirectory::create(dir / "d/");  // a trailing slash changes nothing
    fill(*directory, "half");
  }
  EXPECT_EQ(read_file(dir / "d" / "f"), "old");
  EXPECT_FALSE(fs::exists(dir / "d.part"));
}

TEST(AtomicDirectory, WhatAKilledWriterLeftIsCleared) {
  TempDir dir;
  fs::create_directory(dir / "d.part");
  write_file(dir / "d.part" / "rest", "x");
  auto directory = AtomicDirectory::create(dir / "d");
  fill(*directory, "new");
  ASSERT_TRUE(directory->commit().ok());
  EXPECT_FALSE(fs::exists(dir / "d" / "rest"));
}

TEST(AtomicDirectory, RecoveryBringsBackTheOldOneAndOnlyThen) {
  TempDir dir;
  fs::create_directory(dir / "d.old");
  write_file(dir / "d.old" / "f", "old");
  ASSERT_TRUE(recover_directory(dir / "d").ok());
  EXPECT_EQ(read_file(dir / "d" / "f"), "old");
  fs::create_directory(dir / "d.old");
  ASSERT_TRUE(recover_directory(dir / "d").ok());
  EXPECT_EQ(read_file(dir / "d" / "f"), "old");
}

// A child replaces the directory without pause and is killed at some moment; whatever the moment, a reader then finds
// one whole generation.
TEST(AtomicDirectory, KillAtAnyMomentLeavesOneWholeGeneration) {
  TempDir dir;
  const fs::path path = dir / "d";
  for (int round = 0; round < 12; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (int generation = 0;; ++generation) {
        auto directory = AtomicDirectory::create(path);
        if (!directory.ok()) _exit(1);
        const std::string text(200, static_cast<char>('a' + generation % 26));
        if (!write_file_atomically(directory->part() / "one", text).ok() ||
            !write_file_atomically(directory->part() / "two", text).ok() || !directory->commit().ok())
          _exit(1);
      }
    }
    ::usleep(static_cast<useconds_t>(8000 + 1700 * round));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    ASSERT_TRUE(recover_directory(path).ok());
    if (!fs::exists(path)) continue;  // killed before the first commit
    EXPECT_EQ(read_file(path / "one").size(), 200u);
    EXPECT_EQ(read_file(path / "one"), read_file(path / "two"));
  }
}

// --- reading

TEST(MappedFile, ShowsTheBytesAndMoves) {
  TempDir dir;
  write_file(dir / "f", "abc");
  auto opened = MappedFile::open(dir / "f");
  ASSERT_TRUE(opened.ok());
  const MappedFile file = *std::move(opened);
  ASSERT_EQ(file.bytes().size(), 3u);
  EXPECT_EQ(file.bytes()[2], std::byte{'c'});
}

TEST(MappedFile, EmptyFilesAreEmptyAndFoldersAreRefused) {
  TempDir dir;
  write_file(dir / "f", "");
  EXPECT_TRUE(MappedFile::open(dir / "f")->bytes().empty());
  EXPECT_NE(MappedFile::open(dir.path()).error().message.find("expected a file, found a directory"), std::string::npos);
  EXPECT_EQ(MappedFile::open(dir / "none").error().kind, ErrorKind::not_found);
}

TEST(ReadTextFile, RefusesWhatIsTooLarge) {
  TempDir dir;
  write_file(dir / "f", "12345");
  EXPECT_EQ(*read_text_file(dir / "f", 5), "12345");
  EXPECT_NE(read_text_file(dir / "f", 4).error().message.find("expected at most 4 bytes, found 5"), std::string::npos);
}

}  // namespace
}  // namespace hadal
