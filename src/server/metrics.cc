#include "server/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace hadal {
namespace {

void write_head(std::string& out, const char* name, const char* type, const char* help) {
  fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

template <class Number>
void write_one(std::string& out, const char* name, const char* type, const char* help, Number value) {
  write_head(out, name, type, help);
  fmt::format_to(std::back_inserter(out), "{} {}\n", name, value);
}

// The model's name is the user's text: it must not end the label.
std::string escaped_label(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\n') {
      escaped += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

const char* end_name(ServerMetrics::End end) {
  switch (end) {
    case ServerMetrics::End::finished:
      return "finished";
    case ServerMetrics::End::client_gone:
      return "client_gone";
    case ServerMetrics::End::too_slow:
      return "too_slow";
    case ServerMetrics::End::failed:
      return "failed";
  }
  return "unknown";
}

}  // namespace

void DurationHistogram::add(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds) - kBounds.begin();
  ++counts_[static_cast<std::size_t>(bucket)];
  sum_seconds_ += seconds;
}

void DurationHistogram::write(std::string& out, const char* name, const char* help) const {
  write_head(out, name, "histogram", help);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < kBounds.size(); ++i) {
    total += counts_[i];
    fmt::format_to(std::back_inserter(out), "{}_bucket{{le=\"{:g}\"}} {}\n", name, kBounds[i], total);
  }
  total += counts_.back();
  fmt::format_to(std::back_inserter(out), "{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2:g}\n{0}_count {1}\n", name, total,
                 sum_seconds_);
}

void ServerMetrics::count_response(const std::string& route, int status) {
  const std::lock_guard lock(mutex_);
  ++responses_[{route, status}];
}

void ServerMetrics::count_end(End end) {
  const std::lock_guard lock(mutex_);
  ++ends_[end];
}

void ServerMetrics::add_first_token(std::chrono::nanoseconds since_request) {
  const std::lock_guard lock(mutex_);
  first_token_.add(since_request);
}

void ServerMetrics::add_answer(std::chrono::nanoseconds since_request) {
  const std::lock_guard lock(mutex_);
  answer_.add(since_request);
}

void ServerMetrics::set_clients(int count) {
  const std::lock_guard lock(mutex_);
  clients_ = count;
}

int ServerMetrics::clients() const {
  const std::lock_guard lock(mutex_);
  return clients_;
}

std::string ServerMetrics::text(const EngineStats& engine, const std::string& model) const {
  const std::lock_guard lock(mutex_);
  std::string out;
  write_head(out, "hadal_model_info", "gauge", "The model that is served.");
  fmt::format_to(std::back_inserter(out), "hadal_model_info{{model=\"{}\"}} 1\n", escaped_label(model));
  write_one(out, "hadal_clients", "gauge", "Open connections.", clients_);
  write_one(out, "hadal_sequences_active", "gauge", "Sequences that the engine runs.", engine.active_sequences);
  write_one(out, "hadal_sequences_waiting", "gauge", "Sequences that wait for room.", engine.waiting_sequences);
  write_one(out, "hadal_cache_pages", "gauge", "Pages of the cache.", engine.pages_total);
  write_one(out, "hadal_cache_pages_free", "gauge", "Pages that hold nothing.", engine.pages_free);
  write_one(out, "hadal_cache_pages_held", "gauge", "Pages that running sequences hold.", engine.pages_held);
  write_one(out, "hadal_prompt_tokens_total", "counter", "Prompt tokens.", engine.prompt_tokens);
  write_one(out, "hadal_cached_prompt_tokens_total", "counter", "Prompt tokens found in the cache.",
            engine.cached_prompt_tokens);
  write_one(out, "hadal_completion_tokens_total", "counter", "Generated tokens.", engine.completion_tokens);
  write_one(out, "hadal_sequences_total", "counter", "Sequences given to the engine.", engine.requests);

  write_head(out, "hadal_responses_total", "counter", "HTTP responses.");
  for (const auto& [key, count] : responses_)
    fmt::format_to(std::back_inserter(out), "hadal_responses_total{{route=\"{}\",status=\"{}\"}} {}\n", key.first,
                   key.second, count);
  write_head(out, "hadal_answers_total", "counter", "Answers by how they ended.");
  for (const auto& [end, count] : ends_)
    fmt::format_to(std::back_inserter(out), "hadal_answers_total{{end=\"{}\"}} {}\n", end_name(end), count);
  first_token_.write(out, "hadal_first_token_seconds", "From the request to its first text (streams only).");
  answer_.write(out, "hadal_answer_seconds", "From the request to the end of its answer.");
  return out;
}

}  // namespace hadal
