// The parallel loop behind thread_pool.h: a counter of work left in each thread's share, claimed by subtraction.
//
// A share's `left` is above zero only while a region has unclaimed indices there, so a thread whose subtraction returns
// a positive number owns an index of the region that is running now, and that region cannot end (nor the share's fields
// change) before the thread reports the index done. A late waker therefore needs no generation check.
#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/check.h"

namespace hadal {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxThreads = 1024;
// The gap between two regions of one forward pass is a few µs: spinning that long saves a futex round trip (~5 to 50
// µs).
constexpr auto kWorkerSpin = std::chrono::microseconds(50);
// After this the missing worker has probably lost its core to another process: give it ours.
constexpr auto kCallerSpin = std::chrono::microseconds(20);
constexpr auto kCallerYield = std::chrono::microseconds(500);
constexpr int kPausesPerClockRead = 16;  // reading the clock costs about as much as a pause

inline void pause_core() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until ready() or for `limit`; true when ready.
template <class Ready>
bool spin_until(Ready ready, Clock::duration limit) {
  if (ready()) return true;
  if (limit == Clock::duration::zero()) return false;
  const auto end = Clock::now() + limit;
  do {
    for (int i = 0; i < kPausesPerClockRead; ++i) {
      if (ready()) return true;
      pause_core();
    }
  } while (Clock::now() < end);
  return ready();
}

int allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

}  // namespace

// All that a thread must see to begin lies in one cache line: between two cores a line takes 30 to 150 ns.
struct alignas(64) ThreadPool::Share {
  // What the region is; written by the caller while no index is left to claim.
  Call call = nullptr;
  void* context = nullptr;
  int end = 0;  // behind the last index

  std::atomic<int> left{0};  // unclaimed indices; may fall below zero, by one a thread
};

struct ThreadPool::State {
  explicit State(int threads) : count(threads), shares(std::make_unique<Share[]>(static_cast<std::size_t>(threads))) {}

  int count;  // of threads and shares
  std::unique_ptr<Share[]> shares;
  Clock::duration worker_spin{}, caller_spin{};
  std::vector<std::thread> workers;
  std::atomic<bool> stop{false};  // beside what never changes: every worker reads it all the time

  alignas(64) std::atomic<int> done{0};  // indices of this region that are computed
  std::atomic<bool> caller_sleeps{false};
  alignas(64) std::atomic<int> wake{0};  // changes when a region opens or the pool ends
  std::atomic<int> sleepers{0};
  std::atomic<bool> busy{false};
  std::mutex thrown_mutex;
  std::exception_ptr thrown;  // the region's first; its other indices are computed all the same

  Share& share(int thread) { return shares[static_cast<std::size_t>(thread)]; }

  // Computes indices, those of the own share first, until none is left, then reports how many.
  void work(int thread) {
    int computed = 0;
    for (int i = 0; i < count; ++i) {
      Share& from = share((thread + i) % count);
      while (from.left.load(std::memory_order_relaxed) > 0) {
        const int left = from.left.fetch_sub(1, std::memory_order_acq_rel);
        if (left <= 0) break;
        try {
          from.call(from.context, from.end - left, thread);
        } catch (...) {
          const std::scoped_lock lock(thrown_mutex);
          if (!thrown) thrown = std::current_exception();
        }
        ++computed;
      }
    }
    if (computed == 0) return;
    done.fetch_add(computed, std::memory_order_seq_cst);
    if (caller_sleeps.load(std::memory_order_seq_cst)) done.notify_one();
  }

  void worker(int thread) {
    const auto ready = [&] {
      return share(thread).left.load(std::memory_order_relaxed) > 0 || stop.load(std::memory_order_relaxed);
    };
    for (;;) {
      if (!spin_until(ready, worker_spin)) {
        const int seen = wake.load(std::memory_order_seq_cst);
        sleepers.fetch_add(1, std::memory_order_seq_cst);
        // A region that opened since has either changed `wake` or will see us among the sleepers.
        if (!ready()) wake.wait(seen, std::memory_order_seq_cst);
        sleepers.fetch_sub(1, std::memory_order_seq_cst);
      }
      if (stop.load(std::memory_order_acquire)) return;
      work(thread);
    }
  }

  void wake_workers() {
    wake.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) wake.notify_all();
  }

  void wait_until_done(int expected) {
    const auto ready = [&] { return done.load(std::memory_order_acquire) == expected; };
    if (spin_until(ready, caller_spin)) return;
    for (const auto end = Clock::now() + kCallerYield; Clock::now() < end;) {
      sched_yield();
      if (ready()) return;
    }
    caller_sleeps.store(true, std::memory_order_seq_cst);
    for (int now = done.load(std::memory_order_seq_cst); now != expected; now = done.load(std::memory_order_seq_cst))
      done.wait(now, std::memory_order_seq_cst);
    caller_sleeps.store(false, std::memory_order_relaxed);
  }
};

ThreadPool::ThreadPool(int threads) : threads_(1) {
  HADAL_CHECK(threads >= 0);
  const int available = allowed_cpus();
  const int wanted = std::min(threads == 0 ? available : threads, kMaxThreads);
  state_ = std::make_unique<State>(wanted);
  // More threads than cores: whoever spins keeps the others from working.
  if (wanted <= available) {
    state_->worker_spin = kWorkerSpin;
    state_->caller_spin = kCallerSpin;
  }
  // No thread is bound to a core. The caller is somebody else's thread and may sit on any of them; a worker bound to
  // that one could not move away, and where another process kept the other core busy the two stayed together for
  // seconds, at half the speed (measured: 230 instead of 460 GFLOP/s on two cores).
  try {
    state_->workers.reserve(static_cast<std::size_t>(wanted - 1));
    for (int thread = 1; thread < wanted; ++thread) {
      state_->workers.emplace_back([state = state_.get(), thread] { state->worker(thread); });
      threads_ = thread + 1;
    }
  } catch (const std::system_error&) {
    // The system's limit of threads: fewer of them compute the same result.
  }
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true, std::memory_order_seq_cst);
  state_->wake_workers();
  for (std::thread& worker : state_->workers) worker.join();
}

void ThreadPool::run(int count, Call call, void* context) {
  State& state = *state_;
  HADAL_CHECK(!state.busy.exchange(true, std::memory_order_acquire));  // one caller, no nesting
  state.done.store(0, std::memory_order_relaxed);
  int begin = 0;
  for (int thread = 0; thread < state.count; ++thread) {
    const int end = static_cast<int>((static_cast<long>(count) * (thread + 1) + state.count - 1) / state.count);
    Share& share = state.share(thread);
    share.call = call;
    share.context = context;
    share.end = end;
    share.left.store(end - begin, std::memory_order_seq_cst);
    begin = end;
  }
  state.wake_workers();
  state.work(/*thread=*/0);
  state.wait_until_done(count);
  const std::exception_ptr thrown = std::exchange(state.thrown, nullptr);
  state.busy.store(false, std::memory_order_release);
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace hadal
