// The mix of drills: which operation, how many digits.
#include "trainer/tasks/drills.h"

#include <algorithm>
#include <cstdint>

#include "trainer/tasks/notation.h"

namespace hadal {
namespace {

// Uniform in the number of digits, then among the numbers of that length.
std::int64_t number_of_digits(Rng& rng, int min_digits, int max_digits) {
  const std::int64_t digits = rng.next_in(min_digits, max_digits);
  std::int64_t low = 1;
  for (std::int64_t i = 1; i < digits; ++i) low *= 10;
  return rng.next_in(digits == 1 ? 0 : low, low * 10 - 1);
}

bool one_in(Rng& rng, std::uint64_t n) {
  return rng.next_below(n) == 0;
}

Statement sum_drill(Rng& rng) {
  std::int64_t a = number_of_digits(rng, 1, 4);
  std::int64_t b = number_of_digits(rng, 1, 4);
  if (one_in(rng, 5)) a = -a;
  return one_in(rng, 2) ? add(a, b) : subtract(a, b);
}

Statement product_drill(Rng& rng) {
  std::int64_t a = number_of_digits(rng, 1, 3);
  std::int64_t b = one_in(rng, 4) ? number_of_digits(rng, 2, 3) : rng.next_in(0, 9);
  if (one_in(rng, 6)) b *= 10;
  if (one_in(rng, 10)) a = -a;
  if (one_in(rng, 2)) std::swap(a, b);
  return multiply(a, b);
}

Statement quotient_drill(Rng& rng) {
  const std::uint64_t kind = rng.next_below(10);
  const std::int64_t divisor = kind < 5   ? rng.next_in(2, 9)
                               : kind < 8 ? rng.next_in(10, 19)
                                          : rng.next_in(20, one_in(rng, 3) ? 999 : 120);
  const std::int64_t quotient = divisor < 20 ? number_of_digits(rng, 1, 3) : rng.next_in(1, 50);
  std::int64_t dividend = divisor * quotient;
  if (one_in(rng, 2)) dividend += rng.next_in(0, divisor - 1);
  return divide(dividend, divisor);
}

}  // namespace

Drill make_drill(Rng& rng) {
  const std::uint64_t kind = rng.next_below(3);
  const Statement statement = kind == 0 ? sum_drill(rng) : kind == 1 ? product_drill(rng) : quotient_drill(rng);
  const std::size_t split = statement.text.find_first_of(":=") + 1;
  return {statement.text.substr(0, split), statement.text.substr(split)};
}

}  // namespace hadal
