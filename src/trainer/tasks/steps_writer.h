// What the worked steps of several tasks share: collecting lines, reading numbers, evaluating expressions step by step.
//
// Internal to trainer/tasks; callers use worked_steps.h. Threads: a writer belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "trainer/tasks/expression.h"
#include "trainer/tasks/notation.h"
#include "trainer/tasks/task_item.h"
#include "trainer/tasks/worked_steps.h"

namespace hadal::steps {

// The lines of a reasoning. Each calculation is one line and gives its value.
class StepsWriter {
 public:
  void line(std::string text);
  std::int64_t line(const Statement& statement);
  // Goes on in the line begun last, after a space.
  void append(const std::string& text);
  std::int64_t append(const Statement& statement);
  std::string text() const { return text_; }

 private:
  std::string text_;
};

// The integers in `text`, in order; a '-' counts as a sign only where no word character stands before it.
std::vector<std::int64_t> integers_in(std::string_view text);
// What stands between `before` and `after`; nothing if either is missing. An empty `after` means the end.
std::optional<std::string_view> between(std::string_view text, std::string_view before, std::string_view after);

// Evaluates from the left, writing a line for each operation; nothing if the tokens are no expression or divide by
// zero. Whole numbers are worked in the shared notation, others said at once. Where a quotient is not whole, a chain of
// * and / multiplies first (1/5*4000 as 1*4000, then /5).
std::optional<double> evaluate_in_steps(const std::vector<ExpressionToken>& tokens, StepsWriter* writer);

// "13.5", "-4", no trailing zeros.
std::string plain_number(double value);

// The greatest common divisor by Euclid, a line a division. a, b > 0.
std::int64_t euclid(std::int64_t a, std::int64_t b, StepsWriter* writer);

// The term after `terms` (two or more) by a rule of number_sequence, "add -3 then double"; nothing for a rule of other
// words or a term that is no operand.
std::optional<std::int64_t> apply_sequence_rule(std::string_view rule, const std::vector<std::int64_t>& terms,
                                                StepsWriter* writer);

Error unreadable(const TaskItem& item, std::string_view expected);

Result<WorkedExample> work_expression(const TaskItem& item);  // chain_sum, products
Result<WorkedExample> work_basic_arithmetic(const TaskItem& item);
Result<WorkedExample> work_gcd(const TaskItem& item);
Result<WorkedExample> work_lcm(const TaskItem& item);
Result<WorkedExample> work_prime_factorization(const TaskItem& item);
Result<WorkedExample> work_fraction_simplification(const TaskItem& item);
Result<WorkedExample> work_simple_equations(const TaskItem& item);
Result<WorkedExample> work_leg_counting(const TaskItem& item);
Result<WorkedExample> work_number_sequence(const TaskItem& item);
Result<WorkedExample> work_base_conversion(const TaskItem& item);
Result<WorkedExample> work_simple_geometry(const TaskItem& item);
Result<WorkedExample> work_time_intervals(const TaskItem& item);
Result<WorkedExample> work_countdown(const TaskItem& item);
Result<WorkedExample> work_number_sorting(const TaskItem& item);
Result<WorkedExample> work_letter_counting(const TaskItem& item);
Result<WorkedExample> work_spell_backward(const TaskItem& item);
Result<WorkedExample> work_family_relationships(const TaskItem& item);
Result<WorkedExample> work_knights_knaves(const TaskItem& item);
Result<WorkedExample> work_word_problem(const TaskItem& item);
Result<WorkedExample> work_gsm_symbolic(const TaskItem& item);

}  // namespace hadal::steps
