#include "trainer/tasks/asked_sums.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace hadal {
namespace {

struct Wording {
  const char* lang;
  std::string_view text;  // # is the sum
};

constexpr std::array kWordings = {
    Wording{"en", "What is #?"},
    Wording{"en", "what is #"},
    Wording{"en", "What's #?"},
    Wording{"en", "How much is #?"},
    Wording{"en", "Calculate #"},
    Wording{"en", "Compute #."},
    Wording{"en", "# = ?"},
    Wording{"en", "#="},
    Wording{"en", "#"},
    Wording{"en", "Please work out #."},
    Wording{"zh", "#等于多少？"},
    Wording{"zh", "计算#"},
    Wording{"zh", "#是多少"},
    Wording{"zh", "请算一下#。"},
    Wording{"es", "¿Cuánto es #?"},
    Wording{"es", "cuanto es #"},
    Wording{"es", "Calcula #."},
    Wording{"es", "¿Cuál es el resultado de #?"},
    Wording{"fr", "Combien font # ?"},
    Wording{"fr", "Calcule #."},
    Wording{"fr", "Quel est le résultat de # ?"},
    Wording{"fr", "combien fait #"},
    Wording{"de", "Was ist #?"},
    Wording{"de", "Wie viel ist #?"},
    Wording{"de", "Berechne #."},
    Wording{"de", "wieviel ist #"},
    Wording{"ja", "#はいくつですか。"},
    Wording{"ja", "#を計算してください。"},
    Wording{"ja", "#は？"},
    Wording{"ja", "#の答えは？"},
    Wording{"ru", "Сколько будет #?"},
    Wording{"ru", "Вычисли #."},
    Wording{"ru", "сколько будет #"},
    Wording{"ru", "Чему равно #?"},
    Wording{"ar", "كم يساوي #؟"},
    Wording{"ar", "احسب #"},
    Wording{"ar", "ما ناتج #؟"},
    Wording{"ar", "ما هو #؟"},
};

std::int64_t number_of_digits(Rng& rng, std::int64_t min_digits, std::int64_t max_digits) {
  std::int64_t high = 10, low = 0;
  for (std::int64_t digits = rng.next_in(min_digits, max_digits); digits > 1; --digits) {
    low = high;
    high *= 10;
  }
  return rng.next_in(low, high - 1);
}

struct Sum {
  std::string expression;  // "17 * 23"
  std::int64_t value;
};

Sum chain(Rng& rng) {
  const std::int64_t digits = rng.next_in(1, 3);
  Sum sum{"", number_of_digits(rng, 1, digits)};
  sum.expression = std::to_string(sum.value);
  for (std::int64_t more = rng.next_in(1, 3); more > 0; --more) {
    const std::int64_t term = number_of_digits(rng, 1, digits);
    const bool plus = rng.next_below(2) == 0;
    sum.expression += (plus ? " + " : " - ") + std::to_string(term);
    sum.value += plus ? term : -term;
  }
  return sum;
}

Sum sum_of_two(Rng& rng) {
  const std::int64_t a = number_of_digits(rng, 1, 4), b = number_of_digits(rng, 1, 4);
  const bool plus = rng.next_below(2) == 0;
  return {std::to_string(a) + (plus ? " + " : " - ") + std::to_string(b), plus ? a + b : a - b};
}

Sum product(Rng& rng) {
  const std::int64_t a = number_of_digits(rng, 1, 3), b = number_of_digits(rng, 1, 2);
  return rng.next_below(2) == 0 ? Sum{std::to_string(a) + " * " + std::to_string(b), a * b}
                                : Sum{std::to_string(b) + " * " + std::to_string(a), a * b};
}

Sum quotient(Rng& rng) {
  const std::int64_t divisor = rng.next_below(4) == 0 ? rng.next_in(10, 60) : rng.next_in(2, 9);
  const std::int64_t value = number_of_digits(rng, 1, 2);
  return {std::to_string(divisor * value) + " / " + std::to_string(divisor), value};
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

// With or without blanks, and with the signs that keyboards and school books have.
std::string as_typed(std::string expression, Rng& rng) {
  constexpr std::array<std::string_view, 4> kTimes = {"*", "*", "×", "x"};
  constexpr std::array<std::string_view, 3> kOver = {"/", "/", "÷"};
  replace_all(expression, "*", kTimes[rng.next_below(kTimes.size())]);
  replace_all(expression, "/", kOver[rng.next_below(kOver.size())]);
  if (rng.next_below(2) == 0) std::erase(expression, ' ');
  return expression;
}

}  // namespace

TaskItem make_asked_sum(Rng& rng) {
  const std::uint64_t kind = rng.next_below(4);
  const Sum sum = kind == 0 ? chain(rng) : kind == 1 ? sum_of_two(rng) : kind == 2 ? product(rng) : quotient(rng);
  const Wording& wording = kWordings[rng.next_below(kWordings.size())];
  TaskItem item;
  item.task = "basic_arithmetic";
  item.lang = wording.lang;
  item.question = wording.text;
  replace_all(item.question, "#", as_typed(sum.expression, rng));
  item.answer = std::to_string(sum.value);
  item.meta = {{"expression", sum.expression}};
  return item;
}

}  // namespace hadal
