// The report of a run: one HTML file with its curves and its cost, readable without a network.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/metrics.h"
#include "trainer/recipe.h"

namespace hadal {

// A held-out question's greedy answer, as `<work>/answers/step-N.jsonl` keeps it.
struct SampleAnswer {
  std::string task, question, reasoning, answer;
  bool right = false;
};

// `<work>/report.html` and `<work>/report.svg` from `<work>/metrics.jsonl`, and the first and last of `<work>/answers`.
Status write_report(const Recipe& recipe, const ModelConfig& config);

// The page; no scripts, nothing loaded from elsewhere, every text escaped.
std::string report_html(const Recipe& recipe, const ModelConfig& config, const std::vector<StepMetrics>& steps,
                        const std::vector<SampleAnswer>& before = {}, const std::vector<SampleAnswer>& after = {});

// Its main curves as one picture: of reinforcement where there was some, else the losses.
std::string report_svg(const Recipe& recipe, const std::vector<StepMetrics>& steps);

}  // namespace hadal
