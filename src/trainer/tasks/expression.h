// Arithmetic expressions of the tasks: tokens, and the tree they make.
//
// Internal to trainer/tasks. Threads: pure functions.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace hadal::steps {

struct ExpressionToken {
  enum class Kind { number, op } kind;
  double number = 0;
  char op = 0;  // + - * / ( )
};
// Only numbers (with a fraction), + - * / ( ) and spaces; nothing if there is anything else.
std::optional<std::vector<ExpressionToken>> tokenize_expression(std::string_view text);

// A number, the negation of its one operand, or a chain of two operands and more: a sum with + and -, a product with *
// and /, worked from the left. Only parentheses and signs nest (at most 64 deep), so a tree is walked by recursion.
struct Expression {
  enum class Kind { number, negation, sum, product };
  struct Operand;

  explicit Expression(double value);  // a number
  explicit Expression(Kind of);       // operands are to follow

  Kind kind = Kind::number;
  double number = 0;
  std::vector<Operand> operands;
};
struct Expression::Operand {
  char op;  // before the operand; of the first one it says nothing
  Expression value;
};
// Here, since a vector that is made needs its elements' type whole.
inline Expression::Expression(double value) : number(value) {}
inline Expression::Expression(Kind of) : kind(of) {}

// Nothing if the tokens are no expression.
std::optional<Expression> parse_expression(const std::vector<ExpressionToken>& tokens);

}  // namespace hadal::steps
