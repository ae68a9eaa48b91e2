#include "trainer/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "spec/tensor_table.h"
#include "trainer/curve.h"
#include "trainer/held_out.h"

namespace hadal {
namespace {

std::string curve_svg(std::string_view title, const std::vector<CurvePoint>& points) {
  return fmt::format(
      "<figure><figcaption>{0}</figcaption><svg viewBox=\"0 0 {1} {2}\" role=\"img\" "
      "aria-label=\"{0}\">{3}</svg></figure>\n",
      escaped(title), kCurveWidth, kCurveHeight, draw_curve(points));
}

std::string row(std::string_view name, std::string_view value) {
  return fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escaped(name), escaped(value));
}

std::string summary_table(const Recipe& recipe, const ModelConfig& config, const StepMetrics& last) {
  const ParameterCounts counts = count_parameters(config);
  std::string table = "<table>\n";
  table += row("model", fmt::format("{} M parameters, {} M active a token",
                                    short_number(static_cast<double>(counts.total) * 1e-6),
                                    short_number(static_cast<double>(counts.active) * 1e-6)));
  table +=
      row("trained", fmt::format("{} steps, {} tokens, {}", last.step, short_number(static_cast<double>(last.tokens)),
                                 format_duration(Seconds(last.seconds))));
  table +=
      row("mean rate", fmt::format("{:.0f} tokens/s", static_cast<double>(last.tokens) / std::max(1e-9, last.seconds)));
  if (recipe.watts > 0) {
    const double kwh = recipe.watts * last.seconds / 3.6e6;
    table += row("energy", fmt::format("{:.3f} kWh, assuming {} W for the machine", kwh, recipe.watts));
    if (recipe.price_per_kwh > 0)
      table += row("cost", fmt::format("{:.3f}, assuming {} a kWh", kwh * recipe.price_per_kwh, recipe.price_per_kwh));
  } else {
    table += row("cost", "not stated: the recipe has no watts and price_per_kwh");
  }
  return table + "</table>\n";
}

std::string held_out_table(const std::vector<StepMetrics>& steps) {
  const auto last =
      std::find_if(steps.rbegin(), steps.rend(), [](const StepMetrics& m) { return !m.held_out.empty(); });
  if (last == steps.rend()) return "";
  std::string table = fmt::format("<h2>Held-out loss a token at step {}</h2>\n<table>\n", last->step);
  for (const auto& [name, loss] : last->held_out) table += row(name, fmt::format("{:.4f}", loss));
  return table + "</table>\n";
}

using Value = std::function<double(const StepMetrics&)>;

// Over trained tokens, the steps where `value` is a number.
std::vector<CurvePoint> points_of(const std::vector<StepMetrics>& steps, const Value& value) {
  std::vector<CurvePoint> points;
  for (const StepMetrics& m : steps) {
    const double y = value(m);
    if (std::isfinite(y)) points.push_back({static_cast<double>(m.tokens), y});
  }
  return points;
}

std::string curve(std::string_view title, const std::vector<StepMetrics>& steps, const Value& value) {
  return curve_svg(title, points_of(steps, value));
}

double mean_accuracy(const StepMetrics& m) {
  const bool measured = m.reinforcement && !m.reinforcement->held_out_accuracy.empty();
  return measured ? 100 * mean_of(m.reinforcement->held_out_accuracy) : NAN;
}

double mean_held_out(const StepMetrics& m) {
  return m.held_out.empty() ? NAN : mean_of(m.held_out);
}

// Of the steps that learned from rewards; nothing where there are none.
std::string reinforcement_part(const std::vector<StepMetrics>& all) {
  std::vector<StepMetrics> steps, measured;
  double rollout_seconds = 0, update_seconds = 0;
  for (const StepMetrics& m : all) {
    if (!m.reinforcement) continue;
    if (m.reinforcement->groups_tried > 0) steps.push_back(m);
    if (!m.reinforcement->held_out_accuracy.empty()) measured.push_back(m);
    rollout_seconds += m.reinforcement->rollout_seconds;
    update_seconds += m.reinforcement->update_seconds;
  }
  if (steps.empty()) return "";
  std::string html = "<h2>Reinforcement</h2>\n<table>\n";
  html += row("answers", fmt::format("{:.0f} s, learning from them {:.0f} s", rollout_seconds, update_seconds));
  html += "</table>\n";
  if (!measured.empty())
    html += curve("held-out questions answered right (greedy), %, mean over files", measured, mean_accuracy);
  using Number = double ReinforcementMetrics::*;
  const std::pair<std::string_view, Number> of_answers[] = {
      {"mean reward of sampled answers; sources change as they are learned", &ReinforcementMetrics::reward},
      {"share of sampled answers that are right", &ReinforcementMetrics::accuracy},
      {"share in form", &ReinforcementMetrics::in_form},
      {"tokens of an answer", &ReinforcementMetrics::answer_tokens},
      {"tokens a second, answering", &ReinforcementMetrics::rollout_tokens_per_second}};
  const std::pair<std::string_view, Number> of_learning[] = {
      {"entropy a token, nats", &ReinforcementMetrics::entropy},
      {"KL divergence from the reference, nats a token", &ReinforcementMetrics::kl},
      {"share of tokens clipped", &ReinforcementMetrics::clipped},
      {"distance of the trainer's log-probabilities from the engine's", &ReinforcementMetrics::mismatch},
      {"tokens a second, learning", &ReinforcementMetrics::update_tokens_per_second}};
  for (const auto& [title, member] : of_answers)
    html += curve(title, steps, [member = member](const StepMetrics& m) { return (*m.reinforcement).*member; });
  for (const auto& [title, member] : of_learning)
    html += curve(title, steps,
                  [member = member](const StepMetrics& m) { return m.has_loss() ? (*m.reinforcement).*member : NAN; });
  if (measured.empty()) return html;
  html += fmt::format("<table>\n<tr><th>right, %</th><td>step {}</td><td>step {}</td></tr>\n", measured.front().step,
                      measured.back().step);
  for (const auto& [name, share] : measured.back().reinforcement->held_out_accuracy) {
    const auto& first = measured.front().reinforcement->held_out_accuracy;
    const auto before = first.find(name);
    html += fmt::format("<tr><th>{}</th><td>{}</td><td>{:.1f}</td></tr>\n", escaped(name),
                        before == first.end() ? "" : fmt::format("{:.1f}", 100 * before->second), 100 * share);
  }
  return html + "</table>\n";
}

// The same questions before and after: first those that turned from wrong to right, then the other way round.
std::string answers_part(const std::vector<SampleAnswer>& before, const std::vector<SampleAnswer>& after) {
  constexpr std::size_t kMost = 12;
  if (before.size() != after.size() || before.empty()) return "";
  std::string html;
  std::size_t shown = 0;
  const auto cell = [](const SampleAnswer& a) {
    return fmt::format("<td class=\"{}\"><pre>{}</pre><b>{}</b></td>", a.right ? "right" : "wrong",
                       escaped(a.reasoning), escaped(a.answer));
  };
  for (const bool learned : {true, false})
    for (std::size_t i = 0; i < before.size() && shown < kMost; ++i) {
      if (before[i].right == after[i].right || after[i].right != learned) continue;
      html += fmt::format("<tr><th colspan=\"2\">{}: {}</th></tr>\n<tr>{}{}</tr>\n", escaped(before[i].task),
                          escaped(before[i].question), cell(before[i]), cell(after[i]));
      ++shown;
    }
  if (shown == 0) return "";
  return "<h2>Answers before and after</h2>\n<table class=\"answers\">\n" + html + "</table>\n";
}

constexpr std::string_view kCurveStyle = "line{stroke:#dde5ec}polyline{fill:none;stroke:#0a6fb5;stroke-width:1.5}";

constexpr std::string_view kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:780px;margin:2rem auto;padding:0 "
    "1rem;color:#123;background:#fff}"
    "svg{width:100%;font-size:11px;fill:#456}"
    "figure{margin:1.5rem 0}figcaption{font-weight:600}th{text-align:left;padding-right:2rem;font-weight:500}"
    ".answers td{width:50%;vertical-align:top;padding:.3rem .6rem .8rem "
    "0}pre{white-space:pre-wrap;font-size:12px;margin:0}"
    ".right b{color:#178a4c}.wrong b{color:#c0392b}"
    "@media(prefers-color-scheme:dark){body{color:#cde;background:#0b1620}line{stroke:#22384a}svg{fill:#9ab}}";

Result<std::vector<SampleAnswer>> read_answers(const std::filesystem::path& path) {
  std::vector<SampleAnswer> answers;
  HADAL_ASSIGN(const std::string text, read_text_file(path, std::uint64_t{1} << 30));
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    HADAL_ASSIGN(const Json json,
                 parse_json(std::string_view(text).substr(begin, end - begin), path.filename().string()));
    answers.push_back({.task = json.value("task", ""),
                       .question = json.value("question", ""),
                       .reasoning = json.value("reasoning", ""),
                       .answer = json.value("answer", ""),
                       .right = json.value("right", false)});
  }
  return answers;
}

}  // namespace

std::string report_html(const Recipe& recipe, const ModelConfig& config, const std::vector<StepMetrics>& steps,
                        const std::vector<SampleAnswer>& before, const std::vector<SampleAnswer>& after) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\">\n<title>{0}: training</title><style>{1}{2}</style></head><body>\n<h1>{0}</h1>\n",
      escaped(recipe.name), kCurveStyle, kStyle);
  html += summary_table(recipe, config, steps.empty() ? StepMetrics{} : steps.back());
  const std::pair<std::string_view, Value> curves[] = {
      {"loss a token, over tokens", [](const StepMetrics& m) { return m.has_loss() ? m.loss : NAN; }},
      {"learning rate", [](const StepMetrics& m) { return m.learning_rate; }},
      {"gradient norm", [](const StepMetrics& m) { return m.has_loss() ? m.gradient_norm : NAN; }},
      {"largest over mean expert load, worst layer",
       [](const StepMetrics& m) { return m.max_load > 0 ? m.max_load : NAN; }},
      {"the same of the last 50 steps together",
       [](const StepMetrics& m) { return m.recent_max_load > 0 ? m.recent_max_load : NAN; }},
      {"tokens a second", [](const StepMetrics& m) { return m.tokens_per_second; }},
      {"GFLOP/s", [](const StepMetrics& m) { return m.gflops; }}};
  for (const auto& [title, value] : curves)
    html += curve(title, steps, [&value](const StepMetrics& m) { return m.is_a_step() ? value(m) : NAN; });
  const std::vector<CurvePoint> held_out = points_of(steps, mean_held_out);
  if (!held_out.empty()) html += curve_svg("held-out loss a token, mean over files", held_out);
  return html + held_out_table(steps) + reinforcement_part(steps) + answers_part(before, after) + "</body></html>\n";
}

std::string report_svg(const Recipe& recipe, const std::vector<StepMetrics>& steps) {
  struct Chart {
    std::string_view title;
    std::vector<CurvePoint> points;
  };
  std::vector<Chart> charts;
  const auto add = [&](std::string_view title, const Value& value) {
    Chart chart{title, points_of(steps, value)};
    if (!chart.points.empty()) charts.push_back(std::move(chart));
  };
  const auto of_answers = [](double ReinforcementMetrics::*member) {
    return
        [member](const StepMetrics& m) { return m.reinforcement && m.is_a_step() ? (*m.reinforcement).*member : NAN; };
  };
  add("held-out questions answered right, %", mean_accuracy);
  add("sampled answers that are right, share (sources change)", of_answers(&ReinforcementMetrics::accuracy));
  add("tokens of an answer", of_answers(&ReinforcementMetrics::answer_tokens));
  add("entropy a token, nats", of_answers(&ReinforcementMetrics::entropy));
  if (charts.empty()) {
    add("loss a token", [](const StepMetrics& m) { return m.has_loss() ? m.loss : NAN; });
    add("held-out loss a token", mean_held_out);
  }
  constexpr int kTitle = 22, kCell = kCurveHeight + kTitle;
  const int columns = charts.size() > 1 ? 2 : 1;
  const int rows = (static_cast<int>(charts.size()) + columns - 1) / columns;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}: "
      "training\">\n<style>"
      "text{{font:13px system-ui,sans-serif;fill:#456}}{}</style>\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"#fff\"/>\n",
      columns * kCurveWidth, rows * kCell, escaped(recipe.name), kCurveStyle);
  for (std::size_t i = 0; i < charts.size(); ++i) {
    const int x = static_cast<int>(i) % columns * kCurveWidth, y = static_cast<int>(i) / columns * kCell;
    svg += fmt::format(
        "<g transform=\"translate({} {})\"><text x=\"{}\" y=\"15\">{}</text><g transform=\"translate(0 "
        "{})\">{}</g></g>\n",
        x, y, kCurveMargin, escaped(charts[i].title), kTitle, draw_curve(charts[i].points));
  }
  return svg + "</svg>\n";
}

Status write_report(const Recipe& recipe, const ModelConfig& config) {
  HADAL_ASSIGN(const std::vector<StepMetrics> steps, read_metrics(recipe.work / "metrics.jsonl"));
  std::vector<std::filesystem::path> answers;  // of greedy measurements, oldest first
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(recipe.work / "answers", none))
    answers.push_back(entry.path());
  std::sort(answers.begin(), answers.end());
  std::vector<SampleAnswer> before, after;
  if (answers.size() > 1) {
    HADAL_ASSIGN(before, read_answers(answers.front()));
    HADAL_ASSIGN(after, read_answers(answers.back()));
  }
  HADAL_RETURN_IF_ERROR(write_file_atomically(recipe.work / "report.svg", report_svg(recipe, steps)));
  return write_file_atomically(recipe.work / "report.html", report_html(recipe, config, steps, before, after));
}

}  // namespace hadal
