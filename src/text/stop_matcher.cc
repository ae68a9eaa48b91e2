#include "text/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace hadal {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string StopMatcher::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  const std::string_view held = held_;
  std::size_t first_end = held.npos;
  for (const std::string& stop : stops_) {
    const std::size_t at = held.find(stop);
    if (at == held.npos) continue;
    const std::size_t end = at + stop.size();
    if (end > first_end || (end == first_end && stop.size() < stop_.size())) continue;
    first_end = end;
    stop_ = stop;
  }
  stopped_ = first_end != held.npos;
  std::size_t sure = stopped_ ? first_end - stop_.size() : held.size();
  for (const std::string& stop : stops_) {
    if (stopped_) break;
    for (std::size_t size = std::min(held.size(), stop.size() - 1); size > 0; --size) {
      if (!held.ends_with(std::string_view(stop).substr(0, size))) continue;
      sure = std::min(sure, held.size() - size);
      break;
    }
  }
  std::string out(held.substr(0, sure));
  stopped_ ? held_.clear() : static_cast<void>(held_.erase(0, sure));
  return out;
}

std::string StopMatcher::flush() {
  return std::exchange(held_, {});
}

}  // namespace hadal
