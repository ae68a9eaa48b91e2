#include "trainer/tasks/expression.h"

#include <charconv>
#include <utility>

namespace hadal::steps {

std::optional<std::vector<ExpressionToken>> tokenize_expression(std::string_view text) {
  std::vector<ExpressionToken> tokens;
  while (!text.empty()) {
    const char c = text.front();
    if (c >= '0' && c <= '9') {
      double value = 0;
      const auto [end, error] =
          std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
      if (error != std::errc()) return std::nullopt;
      tokens.push_back({ExpressionToken::Kind::number, value, 0});
      text.remove_prefix(static_cast<std::size_t>(end - text.data()));
      continue;
    }
    text.remove_prefix(1);
    if (c == ' ') continue;
    if (std::string_view("+-*/()").find(c) == std::string_view::npos) return std::nullopt;
    tokens.push_back({ExpressionToken::Kind::op, 0, c});
  }
  return tokens;
}

namespace {

constexpr int kMaxDepth = 64;

class Parser {
 public:
  explicit Parser(const std::vector<ExpressionToken>& tokens) : tokens_(tokens) {}

  std::optional<Expression> parse() {
    std::optional<Expression> whole = sum(0);
    return at_ == tokens_.size() ? std::move(whole) : std::nullopt;
  }

 private:
  char peek() const {
    return at_ < tokens_.size() && tokens_[at_].kind == ExpressionToken::Kind::op ? tokens_[at_].op : '\0';
  }

  std::optional<Expression> sum(int depth) { return chain(Expression::Kind::sum, '+', '-', &Parser::product, depth); }
  std::optional<Expression> product(int depth) {
    return chain(Expression::Kind::product, '*', '/', &Parser::factor, depth);
  }

  // Operands of one kind with one of two signs between them; a single one stands for itself.
  std::optional<Expression> chain(Expression::Kind kind, char sign, char other_sign,
                                  std::optional<Expression> (Parser::*operand)(int), int depth) {
    Expression chain(kind);
    for (char op = sign;; op = tokens_[at_++].op) {
      std::optional<Expression> value = (this->*operand)(depth);
      if (!value) return std::nullopt;
      chain.operands.push_back({op, *std::move(value)});
      if (peek() != sign && peek() != other_sign) break;
    }
    if (chain.operands.size() > 1) return chain;
    return std::move(chain.operands.front().value);
  }

  std::optional<Expression> factor(int depth) {
    if (at_ >= tokens_.size() || depth > kMaxDepth) return std::nullopt;
    const ExpressionToken token = tokens_[at_++];
    if (token.kind == ExpressionToken::Kind::number) return Expression(token.number);
    if (token.op == '-' || token.op == '+') {
      std::optional<Expression> value = factor(depth + 1);
      if (!value || token.op == '+') return value;
      Expression negation(Expression::Kind::negation);
      negation.operands.push_back({'-', *std::move(value)});
      return negation;
    }
    if (token.op != '(') return std::nullopt;
    std::optional<Expression> value = sum(depth + 1);
    if (!value || peek() != ')') return std::nullopt;
    ++at_;
    return value;
  }

  const std::vector<ExpressionToken>& tokens_;
  std::size_t at_ = 0;
};

}  // namespace

std::optional<Expression> parse_expression(const std::vector<ExpressionToken>& tokens) {
  return Parser(tokens).parse();
}

}  // namespace hadal::steps
