// The words before the steps of a word problem, in its language: "left: 160-153:700=7".
//
// Internal to trainer/tasks. Threads: pure functions.
#pragma once

#include <cstddef>
#include <string_view>

namespace hadal::steps {

// The label of step `step` (from 0) of a template; empty for an unknown template, step or language, and for a step
// that only goes on with the one before (the hundredth after a percentage).
std::string_view story_label(std::string_view template_id, std::size_t step, std::string_view lang);

}  // namespace hadal::steps
