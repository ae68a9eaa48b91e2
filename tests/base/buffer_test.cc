#include "base/buffer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <new>

namespace hadal {
namespace {

TEST(Buffer, KeepsItsMemoryUntilMoreIsAskedFor) {
  Buffer<float> buffer;
  float* first = buffer.ensure(100);
  first[99] = 7;
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % 64, 0u);
  EXPECT_EQ(buffer.ensure(40), first);
  EXPECT_EQ(buffer.ensure(100)[99], 7);
  EXPECT_EQ(buffer.capacity(), 100u);
  float* grown = buffer.ensure(1000);
  grown[999] = 1;  // the address sanitizer's to judge
  EXPECT_EQ(buffer.capacity(), 1000u);
}

TEST(Buffer, AfterAFailedGrowthItIsEmptyAndCanBeUsedAgain) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the address sanitizer ends the process instead";
#endif
  Buffer<float> buffer;
  buffer.ensure(100);
  EXPECT_THROW(buffer.ensure(std::size_t{1} << 44), std::bad_alloc);  // 64 TiB
  EXPECT_EQ(buffer.capacity(), 0u);
  EXPECT_EQ(buffer.data(), nullptr);
  ASSERT_NE(buffer.ensure(100), nullptr);
  EXPECT_EQ(buffer.capacity(), 100u);
}

}  // namespace
}  // namespace hadal
