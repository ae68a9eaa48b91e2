// `hadal serve` with the fake model, for tests of the clients and of the page.
//
//   fake_server [port] [microseconds a token] [API key]      prints its address and serves until SIGTERM
//
// It answers each question with the same reasoning and a short answer. Some words in a question change that:
// "everything" gets all that the page can render, "forever" an answer that never ends, "fail" an error.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "server/fake_model.h"
#include "server/server.h"

namespace hadal {
namespace {

// Cut into words, each with the blanks that follow it.
std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\n';
    if (!blank && !words.back().empty() && (words.back().back() == ' ' || words.back().back() == '\n'))
      words.emplace_back();
    words.back() += c;
  }
  return words;
}

constexpr const char* kReasoning =
    "Mia starts with 12 shells and finds 7 more: 12 + 7 = 19.\n"
    "She gives 5 to Ben: 19 - 5 = 14.\n"
    "Check: 14 + 5 - 7 = 12, which is where she started.";
constexpr const char* kAnswer =
    "Mia has **14 shells** now.\n\n"
    "1. She finds 7: `12 + 7 = 19`\n"
    "2. She gives away 5: `19 - 5 = 14`";

constexpr const char* kEverything =
    "# The deep, in short\n\n"
    "The *hadal* zone begins at **6000 m**. Its name comes from Hades; `hadal` is also a program. "
    "More at [a page of the deep](https://example.org/hadal).\n\n"
    "| Zone | From | To |\n|---|---|---|\n| Bathyal | 1000 m | 4000 m |\n| Abyssal | 4000 m | 6000 m |\n"
    "| Hadal | 6000 m | 10935 m |\n\n"
    "> Pressure grows by one atmosphere every ten metres.\n\n"
    "- Challenger Deep\n- Sirena Deep\n  - 145 km east of it\n\n"
    "```python\n"
    "def pressure_at(depth_metres, density=1025.0, gravity=9.81, surface_pressure_pascal=101325.0):  "
    "# a line much longer than a phone is wide, and longer than the column of the page too\n"
    "    return surface_pressure_pascal + density * gravity * depth_metres\n\n"
    "print(f\"{pressure_at(10935) / 1e6:.1f} MPa\")\n"
    "```\n\n"
    "That prints `110.1 MPa`. <b>Not bold</b>: what a model writes is text, never HTML.";

int main_of(int argc, char** argv) {
  const int port = argc > 1 ? std::atoi(argv[1]) : 0;
  const int pace_us = argc > 2 ? std::atoi(argv[2]) : 20'000;
  FakeModel model({.reasoning = words_of(kReasoning),
                   .answer = words_of(kAnswer),
                   .pace = std::chrono::microseconds(pace_us),
                   .max_active = 64,
                   .others = {{.asked = "everything", .answer = words_of(kEverything)},
                              {.asked = "forever", .more_words = 10'000'000},
                              {.asked = "fail", .fails = true}}});
  ServerOptions options{.port = port};
  if (argc > 3) options.api_keys = {argv[3]};
  options.on_listening = [](const ServerAddress& address) {
    std::printf("%s\n", address.url.c_str());
    std::fflush(stdout);
  };
  const Status status = run_server(model, options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  return 1;
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) {
  return hadal::main_of(argc, argv);
}
