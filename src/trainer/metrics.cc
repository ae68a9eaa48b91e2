#include "trainer/metrics.h"

#include <cerrno>

#include "base/atomic_file.h"
#include "base/file.h"
#include "base/json.h"

namespace hadal {
namespace {

// Every number of ReinforcementMetrics under its name, for writing and reading alike.
template <class Metrics, class Visit>
void each_number(Metrics& m, Visit&& visit) {
  visit("reward", m.reward);
  visit("accuracy", m.accuracy);
  visit("in_form", m.in_form);
  visit("language", m.language);
  visit("answer_tokens", m.answer_tokens);
  visit("cut", m.cut);
  visit("entropy", m.entropy);
  visit("kl", m.kl);
  visit("clipped", m.clipped);
  visit("mismatch", m.mismatch);
  visit("masked", m.masked);
  visit("groups_tried", m.groups_tried);
  visit("groups_kept", m.groups_kept);
  visit("rollout_seconds", m.rollout_seconds);
  visit("update_seconds", m.update_seconds);
  visit("rollout_tokens_per_second", m.rollout_tokens_per_second);
  visit("update_tokens_per_second", m.update_tokens_per_second);
  visit("accuracy_by_source", m.accuracy_by_source);
  visit("weight_by_source", m.weight_by_source);
  visit("held_out_accuracy", m.held_out_accuracy);
}

std::string line_of(const StepMetrics& m) {
  nlohmann::ordered_json json{{"step", m.step},         {"stage", m.stage},
                              {"tokens", m.tokens},     {"balance_loss", m.balance_loss},
                              {"mtp_loss", m.mtp_loss}, {"learning_rate", m.learning_rate},
                              {"seconds", m.seconds},   {"tokens_per_second", m.tokens_per_second},
                              {"gflops", m.gflops}};
  if (m.max_load > 0) {
    json["max_load"] = m.max_load;
    json["recent_max_load"] = m.recent_max_load;
  }
  if (m.has_loss()) {
    json["loss"] = m.loss;
    json["gradient_norm"] = m.gradient_norm;
  }
  if (!m.held_out.empty()) json["held_out"] = m.held_out;
  if (m.reinforcement)
    each_number(*m.reinforcement, [&](const char* name, const auto& value) { json["reinforcement"][name] = value; });
  return json.dump() + "\n";
}

StepMetrics metrics_of(const Json& json) {
  StepMetrics m;
  m.step = json.value("step", std::int64_t{0});
  m.tokens = json.value("tokens", std::int64_t{0});
  m.stage = json.value("stage", std::string());
  m.loss = json.value("loss", 0.0);
  m.balance_loss = json.value("balance_loss", 0.0);
  m.mtp_loss = json.value("mtp_loss", 0.0);
  m.gradient_norm = json.value("gradient_norm", 0.0);
  m.learning_rate = json.value("learning_rate", 0.0);
  m.seconds = json.value("seconds", 0.0);
  m.tokens_per_second = json.value("tokens_per_second", 0.0);
  m.gflops = json.value("gflops", 0.0);
  m.max_load = json.value("max_load", 0.0);
  m.recent_max_load = json.value("recent_max_load", 0.0);
  m.held_out = json.value("held_out", std::map<std::string, double>());
  if (const auto found = json.find("reinforcement"); found != json.end())
    each_number(m.reinforcement.emplace(),
                [&](const char* name, auto& value) { value = found->value(name, std::decay_t<decltype(value)>()); });
  return m;
}

}  // namespace

Result<std::vector<StepMetrics>> read_metrics(const std::filesystem::path& path) {
  std::vector<StepMetrics> steps;
  std::error_code none;
  if (!std::filesystem::exists(path, none)) return steps;
  HADAL_ASSIGN(const std::string text, read_text_file(path, std::uint64_t{1} << 32));
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const Result<Json> json = parse_json(std::string_view(text).substr(begin, end - begin), path.filename().string());
    if (!json.ok() || !json->is_object()) continue;
    try {
      steps.push_back(metrics_of(*json));
    } catch (const Json::exception&) {  // a line of something else
    }
  }
  return steps;
}

Result<MetricsLog> MetricsLog::open(const std::filesystem::path& path, std::int64_t last_step, bool measures_again) {
  MetricsLog log;
  std::string kept;
  if (last_step > 0) {
    HADAL_ASSIGN(log.earlier_, read_metrics(path));
    std::erase_if(log.earlier_, [&](const StepMetrics& m) {
      return m.step > last_step || (m.step == last_step && measures_again && !m.is_a_step());
    });
    for (const StepMetrics& m : log.earlier_) kept += line_of(m);
  }
  HADAL_RETURN_IF_ERROR(write_file_atomically(path, kept));
  log.subject_ = path.filename().string();
  log.file_.reset(std::fopen(path.c_str(), "ab"));
  if (!log.file_) return system_error(log.subject_, "open", errno);
  return log;
}

Status MetricsLog::append(const StepMetrics& metrics) {
  const std::string line = line_of(metrics);
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() || std::fflush(file_.get()) != 0)
    return system_error(subject_, "write", errno);
  return Done{};
}

}  // namespace hadal
