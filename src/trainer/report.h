// The report of a run: one HTML file with its curves and its cost, readable without a network.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/metrics.h"
#include "trainer/recipe.h"

namespace hadal {

// `<work>/report.html` from `<work>/metrics.jsonl`.
Status write_report(const Recipe& recipe, const ModelConfig& config);

// The page; no scripts, nothing loaded from elsewhere, every text escaped.
std::string report_html(const Recipe& recipe, const ModelConfig& config, const std::vector<StepMetrics>& steps);

}  // namespace hadal
