#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

#include "base/file.h"
#include "base/ids.h"

namespace hadal {
namespace {

Result<int> half(int x) {
  if (x % 2 != 0) return Error{ErrorKind::invalid, "odd"};
  return x / 2;
}
Result<int> quarter(int x) {
  HADAL_ASSIGN(const int first, half(x));
  HADAL_ASSIGN(const int second, half(first));
  return second;
}
Status both_even(int a, int b) {
  HADAL_RETURN_IF_ERROR(half(a));
  HADAL_RETURN_IF_ERROR(half(b));
  return Done{};
}

TEST(Result, CarriesAValueOrTheFirstError) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(6).error().message, "odd");
  EXPECT_TRUE(both_even(2, 4).ok());
  EXPECT_FALSE(both_even(2, 3));
}

TEST(Result, MovesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  const std::unique_ptr<int> taken = *std::move(result);
  EXPECT_EQ(*taken, 5);
}

TEST(ResultDeathTest, TakingTheValueOfAnErrorIsOurMistake) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH((void)*half(3), "check failed: ok");
  EXPECT_DEATH((void)half(2).error(), "check failed");
}

TEST(Ids, AreNumbersOnlyOnRequest) {
  EXPECT_EQ(index(TokenId{7}), 7);
  static_assert(!std::is_convertible_v<TokenId, int>);
  static_assert(!std::is_convertible_v<PageId, TokenId>);
}

TEST(SystemError, AbsentFilesAreNotFoundAndTheRestIsIo) {
  EXPECT_EQ(system_error("f", "cannot open", ENOENT).kind, ErrorKind::not_found);
  EXPECT_EQ(system_error("f", "cannot write", ENOSPC).kind, ErrorKind::io);
  EXPECT_EQ(system_error("f", "cannot write", ENOSPC).message, "f: cannot write: No space left on device");
}

}  // namespace
}  // namespace hadal
