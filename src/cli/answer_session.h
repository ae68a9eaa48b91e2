// One answer on a terminal or in a pipe: asks the model, shows what arrives as it arrives, and says what it cost.
//
// `run` and `chat` share it. On a terminal reasoning is dim; elsewhere it stands between <think> and </think>.
// Threads: ask() returns when the answer is done; text is written by the calling thread, never by the engine's.
#pragma once

#include <cstdio>
#include <string>

#include "base/cancel.h"
#include "base/result.h"
#include "chat/chat_model.h"

namespace hadal {

enum class ShowAnswer { no, yes };  // no: `run --json` prints the whole at the end

// `cancel` ends the answer early: then its finish_reason is cancelled. Errors: of the request, or of the model.
Result<Completion> ask(ChatModel& model, GenerationRequest request, const CancelFlag& cancel, ShowAnswer show);

// "41 tokens in 0.05 s: 812 tokens/s (prompt 25 tokens in 0.01 s); $0.02 per million tokens at 60 W and $0.30/kWh".
std::string summary_line(const Completion& completion, int threads);

// What a second of computing costs here. Assumptions, stated wherever a cost is shown.
struct RunningCost {
  double watts = 0, dollars_per_kwh = 0;
  double dollars(double seconds) const { return seconds * watts / 3.6e6 * dollars_per_kwh; }
};
RunningCost assumed_cost(int threads);

}  // namespace hadal
