// The parallel loop: every index once, on a valid thread, with what it wrote visible
// to the caller. Run under TSan too, where these loops find missing orderings.
#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <numeric>
#include <thread>
#include <vector>

namespace hadal {
namespace {

class ThreadPoolSizes : public testing::TestWithParam<int> {};

TEST_P(ThreadPoolSizes, ComputesEveryIndexOnceOnAValidThread) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (int count : {1, 2, 3, 7, 64, 1000}) {
    std::vector<int> hits(static_cast<std::size_t>(count), 0);  // not atomic: an index has one owner
    std::atomic<int> bad_threads{0};
    pool.parallel_for(count, [&](int i, int thread) {
      ++hits[static_cast<std::size_t>(i)];
      if (thread < 0 || thread >= pool.threads()) ++bad_threads;
    });
    EXPECT_EQ(hits, std::vector<int>(static_cast<std::size_t>(count), 1)) << count;
    EXPECT_EQ(bad_threads, 0);
  }
}

TEST_P(ThreadPoolSizes, ManyShortRegionsInARowLoseNoWork) {
  ThreadPool pool(GetParam());
  std::vector<long> sums(5, 0);
  for (int region = 0; region < 20000; ++region)
    pool.parallel_for(5, [&](int i, int) { sums[static_cast<std::size_t>(i)] += region; });
  for (long sum : sums) EXPECT_EQ(sum, 20000L * 19999 / 2);
}

TEST_P(ThreadPoolSizes, WorkersThatFellAsleepWakeForTheNextRegion) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // beyond the workers' spinning
    std::vector<int> out(100, 0);
    pool.parallel_for(100, [&](int i, int) { out[static_cast<std::size_t>(i)] = i; });
    EXPECT_EQ(std::accumulate(out.begin(), out.end(), 0), 4950);
  }
}

TEST_P(ThreadPoolSizes, WhatABodyThrowsReachesTheCallerOnceNoThreadWorks) {
  ThreadPool pool(GetParam());
  for (int thrower : {0, 5, 63}) {
    std::atomic<int> inside{0};
    const auto body = [&](int i, int) {
      ++inside;
      if (i == thrower) {
        --inside;
        throw std::bad_alloc();
      }
      std::this_thread::sleep_for(std::chrono::microseconds(20));
      --inside;
    };
    EXPECT_THROW(pool.parallel_for(64, body), std::bad_alloc);
    EXPECT_EQ(inside.load(), 0);
    std::atomic<int> sum{0};  // and the pool is as good as before
    pool.parallel_for(64, [&](int i, int) { sum += i; });
    EXPECT_EQ(sum.load(), 64 * 63 / 2);
  }
}

TEST_P(ThreadPoolSizes, CallerWaitsForASlowWorker) {
  ThreadPool pool(GetParam());
  std::atomic<bool> taken{pool.threads() == 1};
  std::vector<int> out(4, 0);
  pool.parallel_for(4, [&](int i, int thread) {
    if (thread == 0) {  // leaves at least one index to the others
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
      while (!taken && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    } else {
      taken = true;  // longer than the caller spins and yields: it sleeps and is woken
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    out[static_cast<std::size_t>(i)] = 1;
  });
  EXPECT_EQ(out, std::vector<int>(4, 1));
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolSizes, testing::Values(1, 2, 3, 8));

TEST(ThreadPool, TwoThreadsReallyWorkAtOnce) {
  ThreadPool pool(2);
  std::atomic<int> inside{0};
  std::atomic<bool> met{false};
  pool.parallel_for(2, [&](int, int) {
    ++inside;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!met && std::chrono::steady_clock::now() < end) {
      if (inside == 2) met = true;
      std::this_thread::yield();
    }
    --inside;  // one thread alone would count to one twice
  });
  EXPECT_TRUE(met);
}

// Both must be at work, or the faster one helps itself to the other's share.
TEST(ThreadPool, EachThreadBeginsWithItsOwnShare) {
  ThreadPool pool(2);
  for (int region = 0; region < 50; ++region) {
    std::atomic<int> begun{0};
    std::vector<int> thread_of(2, -1);
    pool.parallel_for(2, [&](int i, int thread) {
      ++begun;
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
      while (begun < 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
      thread_of[static_cast<std::size_t>(i)] = thread;
    });
    ASSERT_EQ(thread_of, (std::vector<int>{0, 1})) << region;
  }
}

TEST(ThreadPool, ZeroThreadsMeansAsManyAsAllowed) {
  ThreadPool pool;
  EXPECT_GE(pool.threads(), 1);
  EXPECT_LE(pool.threads(), static_cast<int>(std::thread::hardware_concurrency()));
}

TEST(ThreadPool, EmptyLoopCallsNothing) {
  ThreadPool pool(2);
  pool.parallel_for(0, [](int, int) { FAIL(); });
  pool.parallel_for(-3, [](int, int) { FAIL(); });
}

TEST(ThreadPool, TwoPoolsMayTakeTurns) {
  ThreadPool first(2), second(2);
  int sum = 0;
  for (int round = 0; round < 200; ++round) {
    std::vector<int> a(8), b(8);
    first.parallel_for(8, [&](int i, int) { a[static_cast<std::size_t>(i)] = i; });
    second.parallel_for(8, [&](int i, int) { b[static_cast<std::size_t>(i)] = a[static_cast<std::size_t>(i)]; });
    sum += std::accumulate(b.begin(), b.end(), 0);
  }
  EXPECT_EQ(sum, 200 * 28);
}

TEST(ThreadPoolDeathTest, NestingIsCaught) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        ThreadPool pool(2);
        pool.parallel_for(4, [&](int, int) { pool.parallel_for(4, [](int, int) {}); });
      },
      "check failed");
}

}  // namespace
}  // namespace hadal
