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

namespace hadal {
namespace {

constexpr int kWidth = 720, kHeight = 240, kMargin = 48, kPoints = 600;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

struct Point {
  double x, y;
};

// At most kPoints means of equal stretches: a long run stays a small page, and the noise is smoothed alike everywhere.
std::vector<Point> thinned(const std::vector<Point>& points) {
  if (points.size() <= kPoints) return points;
  std::vector<Point> out;
  for (std::size_t i = 0; i < kPoints; ++i) {
    const std::size_t begin = points.size() * i / kPoints, end = points.size() * (i + 1) / kPoints;
    Point mean{0, 0};
    for (std::size_t j = begin; j < end; ++j) mean = {mean.x + points[j].x, mean.y + points[j].y};
    const double n = static_cast<double>(end - begin);
    out.push_back({mean.x / n, mean.y / n});
  }
  return out;
}

std::string number(double value) {
  const double size = std::abs(value);
  if (size >= 1e6) return fmt::format("{:.1f} M", value * 1e-6);
  if (size >= 1e4) return fmt::format("{:.0f} k", value * 1e-3);
  return size >= 100 ? fmt::format("{:.0f}", value)
         : size >= 1 ? fmt::format("{:.2f}", value)
                     : fmt::format("{:.3g}", value);
}

std::string curve_svg(std::string_view title, const std::vector<Point>& all) {
  std::vector<Point> points;
  for (const Point& p : all)
    if (std::isfinite(p.x) && std::isfinite(p.y)) points.push_back(p);
  points = thinned(points);
  std::string svg =
      fmt::format("<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
                  escaped(title), kWidth, kHeight, escaped(title));
  if (points.empty()) return svg + "<text x=\"50\" y=\"50\">no data</text></svg></figure>";
  double low = points[0].y, high = points[0].y;
  for (const Point& p : points) low = std::min(low, p.y), high = std::max(high, p.y);
  if (high <= low) high = low + std::max(1e-9, std::abs(low) * 0.01);
  const double left = points.front().x, right = std::max(points.back().x, left + 1e-9);
  const auto x_of = [&](double x) { return kMargin + (x - left) / (right - left) * (kWidth - kMargin - 8); };
  const auto y_of = [&](double y) { return 8 + (high - y) / (high - low) * (kHeight - 36); };
  for (int i = 0; i <= 4; ++i) {
    const double y = low + (high - low) * i / 4;
    svg += fmt::format("<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text x=\"4\" y=\"{:.1f}\">{}</text>",
                       kMargin, kWidth - 8, y_of(y), y_of(y), y_of(y) + 4, number(y));
  }
  for (int i = 0; i <= 4; ++i) {
    const double x = left + (right - left) * i / 4;
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>", std::min(x_of(x), kWidth - 24.0),
                       kHeight - 6, number(x));
  }
  svg += "<polyline points=\"";
  for (const Point& p : points) svg += fmt::format("{:.1f},{:.1f} ", x_of(p.x), y_of(p.y));
  return svg + "\"/></svg></figure>\n";
}

std::string row(std::string_view name, std::string_view value) {
  return fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escaped(name), escaped(value));
}

std::string summary_table(const Recipe& recipe, const ModelConfig& config, const StepMetrics& last) {
  const ParameterCounts counts = count_parameters(config);
  std::string table = "<table>\n";
  table +=
      row("model", fmt::format("{} M parameters, {} M active a token", number(static_cast<double>(counts.total) * 1e-6),
                               number(static_cast<double>(counts.active) * 1e-6)));
  table += row("trained", fmt::format("{} steps, {} tokens, {}", last.step, number(static_cast<double>(last.tokens)),
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

// Steps where `value` is a number, over trained tokens.
std::string curve(std::string_view title, const std::vector<StepMetrics>& steps, const Value& value) {
  std::vector<Point> points;
  for (const StepMetrics& m : steps) points.push_back({static_cast<double>(m.tokens), value(m)});
  return curve_svg(title, points);
}

double mean_accuracy(const ReinforcementMetrics& m) {
  double sum = 0;
  for (const auto& [name, share] : m.held_out_accuracy) sum += share;
  return m.held_out_accuracy.empty() ? NAN : 100 * sum / static_cast<double>(m.held_out_accuracy.size());
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
    html += curve("held-out questions answered right (greedy), %, mean over files", measured,
                  [](const StepMetrics& m) { return mean_accuracy(*m.reinforcement); });
  const std::pair<std::string_view, double ReinforcementMetrics::*> curves[] = {
      {"mean reward of sampled answers; sources change as they are learned", &ReinforcementMetrics::reward},
      {"share of sampled answers that are right", &ReinforcementMetrics::accuracy},
      {"share in form", &ReinforcementMetrics::in_form},
      {"tokens of an answer", &ReinforcementMetrics::answer_tokens},
      {"entropy a token, nats", &ReinforcementMetrics::entropy},
      {"KL divergence from the reference, nats a token", &ReinforcementMetrics::kl},
      {"share of tokens clipped", &ReinforcementMetrics::clipped},
      {"distance of the trainer's log-probabilities from the engine's", &ReinforcementMetrics::mismatch},
      {"tokens a second, answering", &ReinforcementMetrics::rollout_tokens_per_second},
      {"tokens a second, learning", &ReinforcementMetrics::update_tokens_per_second}};
  for (const auto& [title, member] : curves)
    html += curve(title, steps, [member = member](const StepMetrics& m) { return (*m.reinforcement).*member; });
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

constexpr std::string_view kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:780px;margin:2rem auto;padding:0 "
    "1rem;color:#123;background:#fff}"
    "svg{width:100%;font-size:11px;fill:#456}line{stroke:#dde5ec}polyline{fill:none;stroke:#0a6fb5;stroke-width:1.5}"
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
      "content=\"width=device-width\">\n<title>{0}: training</title><style>{1}</style></head><body>\n<h1>{0}</h1>\n",
      escaped(recipe.name), kStyle);
  html += summary_table(recipe, config, steps.empty() ? StepMetrics{} : steps.back());
  const std::pair<std::string_view, Value> curves[] = {
      {"loss a token, over tokens", [](const StepMetrics& m) { return m.loss; }},
      {"learning rate", [](const StepMetrics& m) { return m.learning_rate; }},
      {"gradient norm", [](const StepMetrics& m) { return m.gradient_norm; }},
      {"largest over mean expert load, worst layer", [](const StepMetrics& m) { return m.max_load; }},
      {"tokens a second", [](const StepMetrics& m) { return m.tokens_per_second; }},
      {"GFLOP/s", [](const StepMetrics& m) { return m.gflops; }}};
  for (const auto& [title, value] : curves) html += curve(title, steps, value);
  std::vector<Point> held_out;
  for (const StepMetrics& m : steps) {
    double sum = 0;
    for (const auto& [name, loss] : m.held_out) sum += loss;
    if (!m.held_out.empty())
      held_out.push_back({static_cast<double>(m.tokens), sum / static_cast<double>(m.held_out.size())});
  }
  if (!held_out.empty()) html += curve_svg("held-out loss a token, mean over files", held_out);
  return html + held_out_table(steps) + reinforcement_part(steps) + answers_part(before, after) + "</body></html>\n";
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
  return write_file_atomically(recipe.work / "report.html", report_html(recipe, config, steps, before, after));
}

}  // namespace hadal
