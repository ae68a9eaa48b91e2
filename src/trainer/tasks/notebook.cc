#include "trainer/tasks/notebook.h"

#include <array>

#include <fmt/format.h>

#include "trainer/tasks/worked_steps.h"

namespace hadal {
namespace {

constexpr std::array<std::string_view, 8> kTasks = {
    "chain_sum", "basic_arithmetic", "products", "simple_equations", "gcd", "lcm", "leg_counting", "letter_counting"};

struct Heading {
  std::string_view task;
  std::string_view text;  // # is the subject
};

constexpr std::array kHeadings = {
    Heading{"chain_sum", "Adding up #"},
    Heading{"chain_sum", "The running total of #"},
    Heading{"chain_sum", "# from left to right"},
    Heading{"basic_arithmetic", "Value of the expression #"},
    Heading{"basic_arithmetic", "The expression # in order"},
    Heading{"basic_arithmetic", "Taking # apart"},
    Heading{"products", "# row by row"},
    Heading{"products", "Long multiplication: #"},
    Heading{"products", "The product #"},
    Heading{"simple_equations", "Solving #"},
    Heading{"simple_equations", "Equation with one unknown: #"},
    Heading{"simple_equations", "The unknown in #"},
    Heading{"gcd", "Greatest common divisor of #"},
    Heading{"gcd", "The GCD of # after Euclid"},
    Heading{"gcd", "Largest number that divides #"},
    Heading{"lcm", "Least common multiple of #"},
    Heading{"lcm", "The LCM of #"},
    Heading{"lcm", "Smallest number that is a multiple of #"},
    Heading{"leg_counting", "Legs of #"},
    Heading{"leg_counting", "All the legs in a zoo with #"},
    Heading{"leg_counting", "On how many legs # stand"},
    Heading{"letter_counting", "The letter #"},
    Heading{"letter_counting", "Letters, word by word: #"},
    Heading{"letter_counting", "Looking for #"},
};

constexpr std::array<std::string_view, 4> kClosings = {"It is #.", "So #.", "Result: #", "In all #."};

// What stands in `text` between two marks.
std::string between(std::string_view text, std::string_view before, std::string_view after) {
  const std::size_t begin = text.find(before) + before.size();
  return std::string(text.substr(begin, text.rfind(after) - begin));
}

std::string subject_of(const TaskItem& item) {
  if (item.task == "gcd" || item.task == "lcm")
    return fmt::format("{} and {}", item.meta.at("numbers").at(0).get<int>(), item.meta.at("numbers").at(1).get<int>());
  if (item.task == "simple_equations") return item.meta.at("equation").get<std::string>();
  if (item.task == "leg_counting") return between(item.question, "you have ", "?");
  if (item.task == "letter_counting")
    return fmt::format("{} in \"{}\"", item.meta.at("target_letter").get<std::string>(),
                       between(item.question, "text: \"", "\""));
  return item.meta.at("expression").get<std::string>();
}

std::string with(std::string_view wording, const std::string& subject) {
  return std::string(wording).replace(wording.find('#'), 1, subject);
}

}  // namespace

std::span<const std::string_view> notebook_tasks() {
  return kTasks;
}

Result<Note> make_note(const TaskItem& item, Rng& rng) {
  HADAL_ASSIGN(const WorkedExample worked, work_out(item));
  constexpr std::size_t kPerTask = kHeadings.size() / kTasks.size();
  std::size_t first = 0;
  while (kHeadings[first].task != item.task) first += kPerTask;
  const std::string_view heading = kHeadings[first + rng.next_below(kPerTask)].text;
  const std::string_view closing = kClosings[rng.next_below(kClosings.size())];
  return Note{with(heading, subject_of(item)) + "\n", worked.reasoning + "\n" + with(closing, worked.answer) + "\n"};
}

}  // namespace hadal
