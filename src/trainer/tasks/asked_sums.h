// Sums as a person types them: "What is 17*23?", "¿Cuánto es 84 / 7?", "120-45".
//
// The gym's tasks always come in the same words; who tries a model asks in others. Eight languages, several wordings
// and ways to write the signs; worked and judged like basic_arithmetic.
// Threads: pure functions; an Rng belongs to one thread.
#pragma once

#include "base/rng.h"
#include "trainer/tasks/task_item.h"

namespace hadal {

// One sum, difference, product or exact quotient, or a chain of up to four terms. The task is basic_arithmetic.
TaskItem make_asked_sum(Rng& rng);

}  // namespace hadal
