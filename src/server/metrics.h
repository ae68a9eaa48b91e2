// What the server counts, as Prometheus reads it.
//
// Threads: any; a lock is held for some additions.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "chat/chat_model.h"

namespace hadal {

// How long things took, in buckets of Prometheus' cumulative form.
class DurationHistogram {
 public:
  void add(std::chrono::nanoseconds duration);
  void write(std::string& out, const char* name, const char* help) const;

 private:
  // From one token of a small model to a long answer of a large one.
  static constexpr std::array<double, 10> kBounds{0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300};  // seconds
  std::array<std::uint64_t, kBounds.size() + 1> counts_{};
  double sum_seconds_ = 0;
};

class ServerMetrics {
 public:
  // How an answer ended that had been given to the engine.
  enum class End { finished, client_gone, too_slow, failed };

  void count_response(const std::string& route, int status);
  void count_end(End end);
  void add_first_token(std::chrono::nanoseconds since_request);
  void add_answer(std::chrono::nanoseconds since_request);
  void set_clients(int count);
  int clients() const;

  std::string text(const EngineStats& engine, const std::string& model) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> responses_;  // by route and status
  std::map<End, std::uint64_t> ends_;
  DurationHistogram first_token_, answer_;
  int clients_ = 0;
};

}  // namespace hadal
