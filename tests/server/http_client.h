// A blocking HTTP client that can misbehave: stop in the middle, read slowly, vanish.
//
// For tests only. Every wait ends after kPatience, so that a server that hangs fails a test instead of stopping it.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

inline constexpr std::chrono::seconds kPatience{20};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks put together

  std::vector<std::string> events() const;  // the data of the server-sent events in the body
};

class HttpClient {
 public:
  explicit HttpClient(int port, int receive_buffer_bytes = 0);
  ~HttpClient();
  HttpClient(HttpClient&& other) noexcept;
  HttpClient(const HttpClient&) = delete;

  bool connected() const { return socket_ >= 0; }
  bool send(std::string_view bytes);
  // A whole response; none when the connection ended or time ran out before.
  std::optional<HttpResponse> read_response();
  std::string read_some();  // "" at the end
  bool reached_end();       // waits for the server to close
  void half_close();        // "nothing more from me"
  void vanish();            // closes so that the server gets a reset, as from a crashed client

 private:
  int socket_ = -1;
  std::string input_;
};

// Request text. `headers` are whole lines, each ended by \r\n.
std::string get(std::string_view target, std::string_view headers = "");
std::string post_chat(std::string_view json, std::string_view headers = "");

}  // namespace hadal
