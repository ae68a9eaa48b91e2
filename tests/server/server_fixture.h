// A server with a fake model on a free loopback port, for the time of one test.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "server/fake_model.h"
#include "server/http_client.h"
#include "server/server.h"

namespace hadal {

class RunningServer {
 public:
  explicit RunningServer(FakeScript script = {}, ServerOptions options = {}) : model(std::move(script)) {
    options.port = 0;
    options.handle_signals = false;
    options.on_listening = [this](const ServerAddress& address) {
      const std::lock_guard lock(mutex_);
      port_ = address.port;
      changed_.notify_all();
    };
    thread_ = std::jthread([this, options](std::stop_token stop) {
      const Status status = run_server(model, options, stop);
      const std::lock_guard lock(mutex_);
      if (!status.ok()) ADD_FAILURE() << status.error().message;
      ended_ = true;
      changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPatience, [this] { return port_ != 0 || ended_; });
  }

  int port() const { return port_; }
  HttpClient client(int receive_buffer_bytes = 0) const { return HttpClient(port_, receive_buffer_bytes); }

  HttpResponse ask(const std::string& request) const {
    HttpClient one = client();
    one.send(request);
    return one.read_response().value_or(HttpResponse{});
  }

  void request_stop() { thread_.request_stop(); }
  bool wait_for_end() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [this] { return ended_; });
  }

  FakeModel model;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int port_ = 0;
  bool ended_ = false;
  std::jthread thread_;
};

// Looks every millisecond until it is so.
inline bool becomes_true(const std::function<bool()>& is_so) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

inline bool is_idle(const ChatModel& model) {
  const EngineStats stats = model.stats();
  return stats.active_sequences == 0 && stats.waiting_sequences == 0 && stats.pages_held == 0 &&
         stats.pages_free == stats.pages_total;
}

inline constexpr const char* kAsk = R"({"model":"fake","messages":[{"role":"user","content":"What is it?"}]})";
inline constexpr const char* kAskStream =
    R"({"messages":[{"role":"user","content":"What is it?"}],"stream":true,"stream_options":{"include_usage":true}})";

}  // namespace hadal
