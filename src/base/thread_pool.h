// Threads for the kernels: a parallel loop, and nothing else.
//
// The calling thread works too, so a pool of one starts no thread. Every thread begins with its own share of the
// indices, a run of neighbours, and then takes from the others' shares what is left there. So the same index tends to
// come to the same thread each time, whose caches still hold its weights (two cores need not share a cache), and a
// thread that a neighbour on the machine slows down is helped. There are no queues and nothing is allocated. Which
// thread computes an index never changes a result: kernels give each index its own output. One caller at a time; nested
// calls are not allowed.
#pragma once

#include <memory>
#include <utility>

namespace hadal {

class ThreadPool {
 public:
  // threads >= 1; 0 takes as many as this process may use (its CPU affinity).
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const noexcept { return threads_; }

  // Calls body(i, thread) for every i in [0, count), thread in [0, threads()); returns when all are done. What a body
  // throws (memory that ran out) is thrown here once no thread is in the loop any more.
  template <class Body>
  void parallel_for(int count, Body&& body) {
    if (count <= 0) return;
    if (threads_ == 1 || count == 1) {
      for (int i = 0; i < count; ++i) body(i, 0);
      return;
    }
    run(
        count,
        [](void* context, int i, int thread) { (*static_cast<std::remove_reference_t<Body>*>(context))(i, thread); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Call = void (*)(void* context, int i, int thread);
  void run(int count, Call call, void* context);

  struct Share;
  struct State;
  int threads_;
  std::unique_ptr<State> state_;
};

}  // namespace hadal
