// Worked steps of basic_arithmetic: the expression is rewritten after each operation, so that what is left to do, with
// its signs and parentheses, is always in sight.
#include <cmath>
#include <memory>
#include <utility>

#include "trainer/tasks/steps_writer.h"

namespace hadal::steps {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxTokens = 1000;  // the tree is walked by recursion

// A number (op is 0), a negation ('n', right alone) or an operation of two.
struct Node {
  char op = 0;
  std::int64_t number = 0;
  std::unique_ptr<Node> left, right;
  bool is_number() const { return op == 0; }
  bool is_sum() const { return op == '+' || op == '-'; }
};
using NodePtr = std::unique_ptr<Node>;

NodePtr number_node(std::int64_t number) {
  auto node = std::make_unique<Node>();
  node->number = number;
  return node;
}

class Reader {
 public:
  explicit Reader(const std::vector<ExpressionToken>& tokens) : tokens_(tokens) {}

  // Nothing if this is no expression of whole numbers.
  NodePtr read() {
    NodePtr node = sum(0);
    return at_ == tokens_.size() ? std::move(node) : nullptr;
  }

 private:
  char peek() const {
    return at_ < tokens_.size() && tokens_[at_].kind == ExpressionToken::Kind::op ? tokens_[at_].op : '\0';
  }

  NodePtr chain(NodePtr (Reader::*operand)(int), char first, char second, int depth) {
    NodePtr left = (this->*operand)(depth);
    while (left != nullptr && (peek() == first || peek() == second)) {
      auto node = std::make_unique<Node>();
      node->op = tokens_[at_++].op;
      node->left = std::move(left);
      node->right = (this->*operand)(depth);
      if (node->right == nullptr) return nullptr;
      left = std::move(node);
    }
    return left;
  }
  NodePtr sum(int depth) { return chain(&Reader::product, '+', '-', depth); }
  NodePtr product(int depth) { return chain(&Reader::factor, '*', '/', depth); }

  NodePtr factor(int depth) {
    if (at_ >= tokens_.size() || depth > kMaxDepth) return nullptr;
    const ExpressionToken token = tokens_[at_++];
    if (token.kind == ExpressionToken::Kind::number) {
      const bool whole = token.number == std::floor(token.number) && token.number <= static_cast<double>(kMaxOperand);
      return whole ? number_node(static_cast<std::int64_t>(token.number)) : nullptr;
    }
    if (token.op == '-') {
      auto node = std::make_unique<Node>();
      node->op = 'n';
      node->right = factor(depth + 1);
      return node->right != nullptr ? std::move(node) : nullptr;
    }
    if (token.op != '(') return nullptr;
    NodePtr inner = sum(depth + 1);
    if (inner == nullptr || peek() != ')') return nullptr;
    ++at_;
    return inner;
  }

  const std::vector<ExpressionToken>& tokens_;
  std::size_t at_ = 0;
};

// -(5) becomes -5, -(-(x)) becomes x.
void fold_signs(NodePtr* node) {
  if ((*node)->left != nullptr) fold_signs(&(*node)->left);
  if ((*node)->right != nullptr) fold_signs(&(*node)->right);
  if ((*node)->op != 'n') return;
  if ((*node)->right->is_number()) {
    *node = number_node(-(*node)->right->number);
  } else if ((*node)->right->op == 'n') {
    NodePtr inner = std::move((*node)->right->right);
    *node = std::move(inner);
  }
}

// `a - -b` is written a+b, `a + -b` a-b.
std::string written(const Node& node) {
  if (node.is_number()) return std::to_string(node.number);
  const auto in_parentheses = [](const Node& inner) { return "(" + written(inner) + ")"; };
  if (node.op == 'n') return "-" + in_parentheses(*node.right);
  const bool times = !node.is_sum();
  const std::string left = times && node.left->is_sum() ? in_parentheses(*node.left) : written(*node.left);
  if (node.right->is_number()) {
    const bool flip = !times && node.right->number < 0;
    const char op = !flip ? node.op : node.op == '+' ? '-' : '+';
    return left + op + std::to_string(flip ? -node.right->number : node.right->number);
  }
  const bool grouped = node.right->op == 'n' || node.right->is_sum() || times;
  return left + node.op + (grouped ? in_parentheses(*node.right) : written(*node.right));
}

// The first operation from the left whose operands are both known; nullptr if all is one number.
NodePtr* next_operation(NodePtr* node) {
  if ((*node)->is_number()) return nullptr;
  if ((*node)->left != nullptr) {
    if (NodePtr* found = next_operation(&(*node)->left)) return found;
  }
  if (NodePtr* found = next_operation(&(*node)->right)) return found;
  return node;
}

}  // namespace

Result<WorkedExample> work_basic_arithmetic(const TaskItem& item) {
  if (!item.meta.is_object() || !item.meta.contains("expression") || !item.meta["expression"].is_string()) {
    return unreadable(item, "meta.expression");
  }
  const auto tokens = tokenize_expression(item.meta["expression"].get<std::string>());
  NodePtr expression = tokens && tokens->size() <= kMaxTokens ? Reader(*tokens).read() : nullptr;
  if (expression == nullptr) return unreadable(item, "an expression of whole numbers, + - * / ( ) in meta.expression");
  StepsWriter writer;
  fold_signs(&expression);
  writer.line(written(*expression));
  while (NodePtr* operation = next_operation(&expression)) {
    const std::int64_t a = (*operation)->left->number;
    const std::int64_t b = (*operation)->right->number;
    const char op = (*operation)->op;
    if (!is_operand(a) || !is_operand(b) || (op == '/' && (b == 0 || a % b != 0))) {
      return unreadable(item, "quotients that are whole, and numbers of at most nine digits");
    }
    *operation = number_node(writer.line(calculate(a, op, b)));
    fold_signs(&expression);
    if (!expression->is_number()) writer.append(written(*expression));
  }
  return WorkedExample{writer.text(), std::to_string(expression->number)};
}

}  // namespace hadal::steps
