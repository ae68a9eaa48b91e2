// Worked steps of basic_arithmetic: the expression is rewritten after each operation, so that what is left to do, with
// its signs and parentheses, is always in sight.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "trainer/tasks/expression.h"
#include "trainer/tasks/steps_writer.h"

namespace hadal::steps {
namespace {

using Kind = Expression::Kind;

constexpr std::size_t kMaxTokens = 1000;                 // what is left is written again after each operation
constexpr std::int64_t kMaxExact = 999'999'999'999'999;  // a tree's number holds it

std::int64_t whole(const Expression& number) {
  return static_cast<std::int64_t>(number.number);
}

bool all_whole(const Expression& expression) {
  if (expression.kind == Kind::number) {
    return expression.number == std::floor(expression.number) &&
           std::abs(expression.number) <= static_cast<double>(kMaxOperand);
  }
  return std::all_of(expression.operands.begin(), expression.operands.end(),
                     [](const Expression::Operand& operand) { return all_whole(operand.value); });
}

// -(5) becomes -5, -(-(x)) becomes x.
void fold_signs(Expression& expression) {
  for (Expression::Operand& operand : expression.operands) fold_signs(operand.value);
  if (expression.kind != Kind::negation) return;
  Expression inner = std::move(expression.operands.front().value);
  if (inner.kind == Kind::number) {
    expression = Expression(0.0 - inner.number);
  } else if (inner.kind == Kind::negation) {
    expression = Expression(std::move(inner.operands.front().value));
  } else {
    expression.operands.front().value = std::move(inner);
  }
}

// `a - -b` is written a+b, `a + -b` a-b.
std::string written(const Expression& expression) {
  if (expression.kind == Kind::number) return std::to_string(whole(expression));
  const auto in_parentheses = [](const Expression& inner) { return "(" + written(inner) + ")"; };
  if (expression.kind == Kind::negation) return "-" + in_parentheses(expression.operands.front().value);
  const bool is_sum = expression.kind == Kind::sum;
  const Expression& first = expression.operands.front().value;
  std::string text = !is_sum && first.kind == Kind::sum ? in_parentheses(first) : written(first);
  for (std::size_t i = 1; i < expression.operands.size(); ++i) {
    const auto& [op, value] = expression.operands[i];
    if (value.kind != Kind::number) {
      const bool bare = is_sum && value.kind == Kind::product;
      text += op + (bare ? written(value) : in_parentheses(value));
      continue;
    }
    const bool flip = is_sum && value.number < 0;
    text += !flip ? op : op == '+' ? '-' : '+';
    text += std::to_string(flip ? -whole(value) : whole(value));
  }
  return text;
}

// The chain whose first two operands are known, the first such one from the left; nullptr if all is one number.
Expression* next_operation(Expression& expression) {
  if (expression.kind == Kind::number) return nullptr;
  for (std::size_t i = 0; i < std::min<std::size_t>(expression.operands.size(), 2); ++i) {
    if (Expression* found = next_operation(expression.operands[i].value)) return found;
  }
  return &expression;
}

// The first two operands of a chain become `value`, a chain of one operand that operand.
void replace_first_two(Expression& chain, std::int64_t value) {
  chain.operands.erase(chain.operands.begin());
  chain.operands.front().value = Expression(static_cast<double>(value));
  if (chain.operands.size() == 1) chain = Expression(static_cast<double>(value));
}

}  // namespace

Result<WorkedExample> work_basic_arithmetic(const TaskItem& item) {
  if (!item.meta.is_object() || !item.meta.contains("expression") || !item.meta["expression"].is_string()) {
    return unreadable(item, "meta.expression");
  }
  const auto tokens = tokenize_expression(item.meta["expression"].get<std::string>());
  std::optional<Expression> expression =
      tokens && tokens->size() <= kMaxTokens ? parse_expression(*tokens) : std::nullopt;
  if (!expression || !all_whole(*expression)) {
    return unreadable(item, "an expression of whole numbers, + - * / ( ) in meta.expression");
  }
  StepsWriter writer;
  fold_signs(*expression);
  writer.line(written(*expression));
  while (Expression* chain = next_operation(*expression)) {
    const std::int64_t a = whole(chain->operands[0].value);
    const std::int64_t b = whole(chain->operands[1].value);
    const char op = chain->operands[1].op;
    if (!is_operand(a) || !is_operand(b) || (op == '/' && (b == 0 || a % b != 0))) {
      return unreadable(item, "quotients that are whole, and numbers of at most nine digits");
    }
    const std::int64_t value = writer.line(calculate(a, op, b));
    if (std::abs(value) > kMaxExact) return unreadable(item, "numbers of at most fifteen digits");
    replace_first_two(*chain, value);
    fold_signs(*expression);
    if (expression->kind != Kind::number) writer.append(written(*expression));
  }
  return WorkedExample{writer.text(), std::to_string(whole(*expression))};
}

}  // namespace hadal::steps
