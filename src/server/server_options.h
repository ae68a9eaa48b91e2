// How a server is set up. Plain data.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace hadal {

struct ServerAddress {
  std::string host;  // as it was asked for
  int port = 0;      // the real one
  std::string url;   // what to open in a browser
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                      // 0: any free one
  std::vector<std::string> api_keys{};  // none: no key is asked for; then only loopback is served
  int max_clients = 1024;               // connections, or what the limit of open files allows; one more is told 503
  std::size_t max_body_bytes = 4u << 20;
  std::size_t max_unsent_bytes = 1u << 20;  // a streaming client that lets more pile up is dropped
  int io_threads = 2;

  std::chrono::milliseconds request_timeout{30'000};      // from a request's first byte to its last
  std::chrono::milliseconds idle_timeout{75'000};         // between requests
  std::chrono::milliseconds write_timeout{30'000};        // for what is being sent to be taken
  std::chrono::milliseconds keep_alive_interval{10'000};  // a comment goes out on streams that are silent for so long
  std::chrono::milliseconds grace{10'000};                // running answers may take so long to finish at shutdown

  bool handle_signals = true;                                // SIGINT and SIGTERM shut down; a second one at once
  std::function<void(const ServerAddress&)> on_listening{};  // called once, when connections are accepted
};

}  // namespace hadal
