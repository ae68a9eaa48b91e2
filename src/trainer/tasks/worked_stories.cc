// Worked steps of the stories: word problems from their `steps`, gsm_symbolic from the equations in its worked
// solution.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "trainer/tasks/steps_writer.h"
#include "trainer/tasks/story_labels.h"

namespace hadal::steps {

// ---- word problems -----------------------------------------------------------------------------------------------

Result<WorkedExample> work_word_problem(const TaskItem& item) {
  StepsWriter writer;
  std::int64_t value = 0;
  for (std::size_t i = 0; i < item.steps.size(); ++i) {
    const std::string& step = item.steps[i];
    const std::size_t at = step.find_first_of("+-*/");
    const std::vector<std::int64_t> numbers = integers_in(step);
    if (at == std::string::npos || numbers.size() != 3 || (step[at] == '/' && numbers[1] == 0) ||
        !is_operand(numbers[0]) || !is_operand(numbers[1])) {
      return unreadable(item, "steps such as \"12*3=36\"");
    }
    const Statement statement = calculate(numbers[0], step[at], numbers[1]);
    if (statement.value != numbers[2] || statement.rest != 0) return unreadable(item, "steps that are true");
    const std::string_view label = story_label(item.template_id, i, item.lang);
    writer.line(std::string(label) + (label.empty() ? "" : ": ") + statement.text);
    value = statement.value;
  }
  if (item.steps.empty()) return unreadable(item, "steps");
  return WorkedExample{writer.text(), std::to_string(value)};
}

// ---- gsm_symbolic ------------------------------------------------------------------------------------------------

namespace {

using Kind = ExpressionToken::Kind;

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (static_cast<unsigned char>(c) & 0x80);
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// A worked solution as tokens: numbers and operators, '=' between equations, units and prose left out.
// `=` is an op token here; '%' multiplies by 1/100 and becomes "/ 100".
class SolutionScanner {
 public:
  explicit SolutionScanner(std::string_view line) : text_(line) {}

  std::vector<ExpressionToken> scan() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (is_digit(c)) {
        number();
      } else if (text_.substr(at_).starts_with("\xc3\x97")) {  // the multiplication sign
        op('*', 2);
      } else if (text_.substr(at_).starts_with("\xc3\xb7")) {  // the division sign
        op('/', 2);
      } else if (c == '=' || c == '+' || c == '*' || c == '(' || c == ')') {
        op(c, 1);
      } else if (c == '%') {
        if (after_number()) tokens_.insert(tokens_.end(), {{Kind::op, 0, '/'}, {Kind::number, 100, 0}});
        ++at_;
      } else if (c == '-' || c == '/') {
        // Between letters it belongs to a word or a unit: "50-minute", "boys/girl".
        const bool in_word =
            (at_ > 0 && is_letter(text_[at_ - 1])) || (at_ + 1 < text_.size() && is_letter(text_[at_ + 1]));
        if (in_word) {
          ++at_;
        } else {
          op(c, 1);
        }
      } else if (is_letter(c)) {
        word();
      } else {
        ++at_;
      }
    }
    return std::move(tokens_);
  }

 private:
  bool after_number() const { return !tokens_.empty() && tokens_.back().kind == Kind::number; }

  void op(char sign, std::size_t bytes) {
    // "2(74+37)" multiplies.
    if (sign == '(' && after_number() && at_ > 0 && is_digit(text_[at_ - 1])) tokens_.push_back({Kind::op, 0, '*'});
    tokens_.push_back({Kind::op, 0, sign});
    at_ += bytes;
  }

  void number() {
    std::string digits;
    while (at_ < text_.size()) {
      const bool next_digit = at_ + 1 < text_.size() && is_digit(text_[at_ + 1]);
      if (is_digit(text_[at_]) || (text_[at_] == '.' && next_digit)) {
        digits += text_[at_];
      } else if (text_[at_] != ',' || !next_digit) {
        break;
      }
      ++at_;
    }
    double value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    tokens_.push_back({Kind::number, value, 0});
  }

  void word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_letter(text_[at_]) && !text_.substr(at_).starts_with("\xc3\x97") &&
           !text_.substr(at_).starts_with("\xc3\xb7")) {
      ++at_;
    }
    if (text_.substr(begin, at_ - begin) == "x") tokens_.push_back({Kind::op, 0, '*'});
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<ExpressionToken> tokens_;
};

bool is_op(const ExpressionToken& token, char op) {
  return token.kind == Kind::op && token.op == op;
}

// 0.48*60 as 48*60/100: the question speaks of percent, and whole numbers are worked digit by digit.
std::vector<ExpressionToken> with_whole_factors(const std::vector<ExpressionToken>& tokens) {
  std::vector<ExpressionToken> whole;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool factor = (i > 0 && is_op(tokens[i - 1], '*')) || (i + 1 < tokens.size() && is_op(tokens[i + 1], '*'));
    const double hundredfold = std::round(tokens[i].number * 100);
    const bool fraction = tokens[i].kind == Kind::number && tokens[i].number != std::floor(tokens[i].number) &&
                          std::abs(hundredfold - tokens[i].number * 100) < 1e-9;
    const bool half = tokens[i].kind == Kind::number && tokens[i].number == 0.5;
    if (factor && half) {
      whole.insert(whole.end(), {{Kind::number, 1, 0}, {Kind::op, 0, '/'}, {Kind::number, 2, 0}});
    } else if (factor && fraction) {
      whole.insert(whole.end(), {{Kind::number, hundredfold, 0}, {Kind::op, 0, '/'}, {Kind::number, 100, 0}});
    } else {
      whole.push_back(tokens[i]);
    }
  }
  return whole;
}

bool close(double x, double y) {
  return std::abs(x - y) <= 1e-6 * std::max(1.0, std::abs(x));
}

// The longest expression at the end of `tokens` whose value is `result`, worked into `writer`. Longer ends than this
// one are prose before the equation.
bool work_longest_end(const std::vector<ExpressionToken>& tokens, double result, StepsWriter* writer) {
  constexpr std::size_t kLongest = 40;  // longer ends are prose, and trying each would take their square
  const std::size_t first = tokens.size() > kLongest ? tokens.size() - kLongest : 0;
  for (std::size_t begin = first; begin + 2 < tokens.size(); ++begin) {
    const std::vector<ExpressionToken> end(tokens.begin() + static_cast<std::ptrdiff_t>(begin), tokens.end());
    StepsWriter attempt = *writer;
    const std::optional<double> value = evaluate_in_steps(with_whole_factors(end), &attempt);
    if (!value || !close(*value, result) || attempt.text() == writer->text()) continue;
    *writer = attempt;
    return true;
  }
  return false;
}

// Adds the equations of one line of the solution; returns the last result, or nothing if the line has no equation.
std::optional<double> work_solution_line(std::string_view line, StepsWriter* writer) {
  const std::vector<ExpressionToken> tokens = SolutionScanner(line).scan();
  std::optional<double> last;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!is_op(tokens[i], '=')) continue;
    std::size_t next = i + 1;
    const bool minus = next < tokens.size() && is_op(tokens[next], '-');
    if (minus) ++next;
    if (next < tokens.size() && tokens[next].kind == Kind::number) {
      const double result = minus ? -tokens[next].number : tokens[next].number;
      const std::vector<ExpressionToken> left(tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                              tokens.begin() + static_cast<std::ptrdiff_t>(i));
      // "124 / 248 * 100% = 50%": both sides count in percent, so the sign on the left is no division.
      std::vector<ExpressionToken> in_percent = left;
      if (left.size() > 2 && is_op(left[left.size() - 2], '/')) in_percent.resize(left.size() - 2);
      if (work_longest_end(left, result, writer) || work_longest_end(in_percent, result, writer)) last = result;
    }
    begin = i + 1;
  }
  return last;
}

}  // namespace

// The prose is left out: a template's program is what the question asks for, and each of its words is a token.
Result<WorkedExample> work_gsm_symbolic(const TaskItem& item) {
  if (!item.meta.is_object() || !item.meta.contains("answer_cot") || !item.meta["answer_cot"].is_string()) {
    return unreadable(item, "meta.answer_cot");
  }
  const auto solution = item.meta["answer_cot"].get<std::string>();
  StepsWriter writer;
  std::optional<double> last;
  std::string_view rest = solution;
  while (!rest.empty()) {
    const std::size_t line_end = rest.find('\n');
    const std::string_view line = rest.substr(0, line_end);
    rest = line_end == std::string_view::npos ? std::string_view() : rest.substr(line_end + 1);
    if (line.starts_with("####")) break;
    if (const auto result = work_solution_line(line, &writer)) last = result;
  }
  const double answer = std::strtod(item.answer.c_str(), nullptr);
  if (!last || !close(*last, answer)) {
    return Error{ErrorKind::unsupported,
                 "gsm_symbolic: expected a worked solution whose last equation gives the answer " + item.answer +
                     ", found none in template " + item.meta.value("template", nlohmann::json()).dump()};
  }
  return WorkedExample{writer.text(), plain_number(answer)};
}

}  // namespace hadal::steps
