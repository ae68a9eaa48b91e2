// Answers as lines of JSON: those of a stage of rejection sampling that are learned, and those to held-out questions
// that the report sets side by side (trainer/report.h reads them).
//
// Files are written whole or not at all. One thread.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "base/result.h"
#include "trainer/held_out.h"
#include "trainer/reinforcement/reinforcement_stage.h"

namespace hadal {

// Conversations of a question and its answer, as a source of kind "conversations" reads them.
Status write_kept_answers(const std::filesystem::path& file, std::span<const ReinforcementStage::Kept> kept);

// Answers the held-out questions of all files at once, greedily, writes the answers to `file` and makes its folder
// where there is none. Returns the share that is right by the file's name.
Result<std::map<std::string, double>> measure_answers(ReinforcementStage& stage, const HeldOut& held_out,
                                                      const std::filesystem::path& file);

}  // namespace hadal
