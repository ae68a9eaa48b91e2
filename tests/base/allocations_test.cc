#include "base/allocations.h"

#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <vector>

namespace hadal {
namespace {

TEST(Allocations, AreCountedAndTheOneThatIsAskedForFails) {
  std::vector<std::unique_ptr<int>> kept(3);
  const auto fill = [&] {
    for (auto& one : kept) one = std::make_unique<int>(1);
  };
  EXPECT_EQ(allocations_during(fill), 3);
  start_counting_allocations(2);
  EXPECT_THROW(fill(), std::bad_alloc);
  EXPECT_EQ(stop_counting_allocations(), 3);
}

TEST(Allocations, OnlyALargeOneFailsAndOnlyOnce) {
  fail_next_allocation(1 << 20);
  std::vector<char> small(1 << 10), large;
  EXPECT_FALSE(allocation_has_failed());
  EXPECT_THROW(large.resize(1 << 20), std::bad_alloc);
  EXPECT_TRUE(allocation_has_failed());
  large.resize(1 << 20);
  EXPECT_EQ(large.size(), std::size_t{1} << 20);
}

}  // namespace
}  // namespace hadal
