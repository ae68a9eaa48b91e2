// The generators behind make_task(), one a task. Internal to trainer/tasks; callers use generators.h.
// Threads: pure functions; an Rng belongs to one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "trainer/tasks/task_item.h"

namespace hadal::generating {

TaskItem item_of(std::string question, std::string answer, nlohmann::json meta);
std::string clock_text(std::int64_t n);  // two digits

TaskItem make_chain_sum(Rng& rng);
TaskItem make_basic_arithmetic(Rng& rng);
TaskItem make_products(Rng& rng);
TaskItem make_gcd(Rng& rng);
TaskItem make_lcm(Rng& rng);
TaskItem make_prime_factorization(Rng& rng);
TaskItem make_fraction_simplification(Rng& rng);
TaskItem make_simple_equations(Rng& rng);
TaskItem make_leg_counting(Rng& rng);
TaskItem make_number_sequence(Rng& rng);
TaskItem make_number_sorting(Rng& rng);
TaskItem make_base_conversion(Rng& rng);
TaskItem make_countdown(Rng& rng);
TaskItem make_simple_geometry(Rng& rng);
TaskItem make_time_intervals(Rng& rng);
TaskItem make_family_relationships(Rng& rng);
TaskItem make_letter_counting(std::span<const std::string> words, Rng& rng);
TaskItem make_spell_backward(std::span<const std::string> words, Rng& rng);

}  // namespace hadal::generating
