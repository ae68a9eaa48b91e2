// work_out(): which function works which task, and what they share.
#include "trainer/tasks/worked_steps.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

#include "trainer/tasks/steps_writer.h"

namespace hadal {

Result<WorkedExample> work_out(const TaskItem& item) {
  using Work = Result<WorkedExample> (*)(const TaskItem&);
  static constexpr std::array<std::pair<std::string_view, Work>, 21> kWork = {{
      {"chain_sum", steps::work_expression},
      {"basic_arithmetic", steps::work_basic_arithmetic},
      {"products", steps::work_expression},
      {"gcd", steps::work_gcd},
      {"lcm", steps::work_lcm},
      {"prime_factorization", steps::work_prime_factorization},
      {"fraction_simplification", steps::work_fraction_simplification},
      {"simple_equations", steps::work_simple_equations},
      {"leg_counting", steps::work_leg_counting},
      {"gsm_symbolic", steps::work_gsm_symbolic},
      {"number_sequence", steps::work_number_sequence},
      {"number_sorting", steps::work_number_sorting},
      {"letter_counting", steps::work_letter_counting},
      {"spell_backward", steps::work_spell_backward},
      {"base_conversion", steps::work_base_conversion},
      {"countdown", steps::work_countdown},
      {"simple_geometry", steps::work_simple_geometry},
      {"time_intervals", steps::work_time_intervals},
      {"family_relationships", steps::work_family_relationships},
      {"knights_knaves", steps::work_knights_knaves},
      {"word_problems", steps::work_word_problem},
  }};
  for (const auto& [task, work] : kWork) {
    if (task == item.task) return work(item);
  }
  return Error{ErrorKind::unsupported, "worked steps: expected a known task, found \"" + item.task + "\""};
}

namespace steps {

void StepsWriter::line(std::string text) {
  if (!text_.empty()) text_ += '\n';
  text_ += text;
}

std::int64_t StepsWriter::line(const Statement& statement) {
  line(statement.text);
  return statement.value;
}

void StepsWriter::append(const std::string& text) {
  text_ += " " + text;
}

std::int64_t StepsWriter::append(const Statement& statement) {
  append(statement.text);
  return statement.value;
}

Error unreadable(const TaskItem& item, std::string_view expected) {
  return Error{ErrorKind::invalid, item.task + ": expected " + std::string(expected) + ", found the question \"" +
                                       item.question.substr(0, 80) + "\""};
}

std::vector<std::int64_t> integers_in(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::vector<std::int64_t> numbers;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!is_digit(text[i])) continue;
    const bool minus = i > 0 && text[i - 1] == '-' && (i == 1 || text[i - 2] == ' ' || text[i - 2] == '(');
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + text.size(), value);
    if (error == std::errc()) numbers.push_back(minus ? -value : value);
    i = static_cast<std::size_t>(end - text.data()) - 1;
  }
  return numbers;
}

std::optional<std::string_view> between(std::string_view text, std::string_view before, std::string_view after) {
  const std::size_t at = text.find(before);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + before.size());
  if (after.empty()) return text;
  const std::size_t end = text.find(after);
  if (end == std::string_view::npos) return std::nullopt;
  return text.substr(0, end);
}

std::string plain_number(double value) {
  std::array<char, 48> buffer{};
  const int n = std::snprintf(buffer.data(), buffer.size(), "%.10g", value);
  return std::string(buffer.data(), static_cast<std::size_t>(n));
}

namespace {

constexpr double kMaxWhole = 1e9;  // notation.h's operands

bool whole(double value) {
  return std::abs(value) < kMaxWhole && value == std::floor(value);
}

class Evaluator {
 public:
  explicit Evaluator(StepsWriter* writer) : writer_(writer) {}

  std::optional<double> evaluate(const Expression& expression) {
    switch (expression.kind) {
      case Expression::Kind::number:
        return expression.number;
      case Expression::Kind::negation: {
        const std::optional<double> value = evaluate(expression.operands.front().value);
        return value ? std::optional(0.0 - *value) : std::nullopt;
      }
      case Expression::Kind::sum:
        return sum(expression);
      case Expression::Kind::product:
        return product(expression);
    }
    return std::nullopt;
  }

 private:
  std::optional<double> sum(const Expression& chain) {
    std::optional<double> total = evaluate(chain.operands.front().value);
    for (std::size_t i = 1; total && i < chain.operands.size(); ++i) {
      const std::optional<double> term = evaluate(chain.operands[i].value);
      if (!term) return std::nullopt;
      total = combine(*total, chain.operands[i].op, *term);
    }
    return total;
  }

  std::optional<double> product(const Expression& chain) {
    struct Factor {
      char op;
      double value;
    };
    std::vector<Factor> factors;
    for (const auto& [op, operand] : chain.operands) {
      const std::optional<double> value = evaluate(operand);
      if (!value) return std::nullopt;
      factors.push_back({op, *value});
    }
    const auto all_whole = [&factors] {
      double running = factors.front().value;
      for (std::size_t i = 1; i < factors.size(); ++i) {
        running = factors[i].op == '*' ? running * factors[i].value : running / factors[i].value;
        if (!whole(running)) return false;
      }
      return true;
    };
    if (!all_whole()) {
      std::stable_partition(factors.begin(), factors.end(), [](const Factor& f) { return f.op == '*'; });
    }
    std::optional<double> running = factors.front().value;
    for (std::size_t i = 1; running && i < factors.size(); ++i) {
      running = combine(*running, factors[i].op, factors[i].value);
    }
    return running;
  }

  std::optional<double> combine(double a, char op, double b) {
    if (op == '/' && b == 0) return std::nullopt;
    // Plus zero, because -0 is no answer.
    const double value = (op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b) + 0.0;
    if (whole(a) && whole(b) && whole(value)) {
      writer_->line(calculate(static_cast<std::int64_t>(a), op, static_cast<std::int64_t>(b)));
    } else {
      writer_->line(plain_number(a) + op + plain_number(b) + "=" + plain_number(value));
    }
    return value;
  }

  StepsWriter* writer_;
};

}  // namespace

std::optional<double> evaluate_in_steps(const std::vector<ExpressionToken>& tokens, StepsWriter* writer) {
  const std::optional<Expression> expression = parse_expression(tokens);
  return expression ? Evaluator(writer).evaluate(*expression) : std::nullopt;
}

std::int64_t euclid(std::int64_t a, std::int64_t b, StepsWriter* writer) {
  if (a < b) std::swap(a, b);
  for (;;) {
    const std::int64_t quotient = a / b;
    const std::int64_t rest = a % b;
    if (quotient == 1) {
      writer->line(subtract(a, b));
    } else if (b < 20 || quotient >= 10) {
      writer->line(divide(a, b));
    } else {
      const std::int64_t taken = writer->line(multiply(b, quotient));
      if (rest != 0) writer->append(subtract(a, taken));
    }
    if (rest == 0) return b;
    if (rest == 1) return 1;
    a = std::exchange(b, rest);
  }
}

}  // namespace steps
}  // namespace hadal
