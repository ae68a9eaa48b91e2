// The one way in which worked steps write arithmetic.
//
// A statement is `a+b=c`, or `a+b:scratch=c` where c is too hard to say at once. A small
// model writes one token a digit and cannot know a carry before it has seen the lower
// digits, so the scratch is written from the ones digit up and c only copied from it:
//   sums       363+761:4211=1124      824-960:-631=-136     (from 3 digits on; below: direct)
//   products   537*9:63,33,48=4833    digit times digit plus carry, two digits each
//              47*86:47*80=3760 47*6=282 3760+282:2404=4042     row by row
//   quotients  116/4:130=29           the remainders from the left, one a digit of 116
//              608/15:06,00,08=40r8   divisors 10 to 19: remainders of two digits
//              924/77:92>1 92-77=15 154>2 77*2=154 =12          larger: guess, multiply, subtract
// docs/worked_steps.md shows each with its reason. The same functions write drills, word
// problems and all other tasks, so that what one teaches serves the others.
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace hadal {

struct Statement {
  std::string text;        // "363+761:4211=1124"
  std::int64_t value = 0;  // 1124; for a division the quotient
  std::int64_t rest = 0;   // the remainder of a division
};

// The largest operand, in size; more would not fit 64 bits when multiplied, and no task has it.
inline constexpr std::int64_t kMaxOperand = 999'999'999;
constexpr bool is_operand(std::int64_t n) {
  return n >= -kMaxOperand && n <= kMaxOperand;
}

// Operands may be negative, up to kMaxOperand in size; `a + -3` is written as `a-3`.
Statement add(std::int64_t a, std::int64_t b);
Statement subtract(std::int64_t a, std::int64_t b);
Statement multiply(std::int64_t a, std::int64_t b);
// a / b with b != 0; a remainder (only for a >= 0, b > 0) is written as `r8`, none if it is 0.
Statement divide(std::int64_t a, std::int64_t b);
// The statement of `a op b`, op one of + - * /.
Statement calculate(std::int64_t a, char op, std::int64_t b);

// Only the remainders of a / b from the left, as divide() writes them: "06,00,08" (2 <= b < 20).
std::string remainders(std::int64_t a, std::int64_t b);

}  // namespace hadal
