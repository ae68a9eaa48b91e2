#include "trainer/tasks/notebook.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include <fmt/format.h>

#include "base/check.h"
#include "trainer/tasks/steps_writer.h"

namespace hadal {
namespace {

constexpr std::array<std::string_view, 8> kTasks = {
    "chain_sum", "basic_arithmetic", "products", "simple_equations", "gcd", "lcm", "leg_counting", "letter_counting"};

// Of each of kTasks; # is the subject.
constexpr std::array<std::array<std::string_view, 3>, kTasks.size()> kHeadings = {{
    {"Adding up #", "The running total of #", "# from left to right"},
    {"Value of the expression #", "The expression # in order", "Taking # apart"},
    {"# row by row", "Long multiplication: #", "The product #"},
    {"Solving #", "Equation with one unknown: #", "The unknown in #"},
    {"Greatest common divisor of #", "The GCD of # after Euclid", "Largest number that divides #"},
    {"Least common multiple of #", "The LCM of #", "Smallest number that is a multiple of #"},
    {"Legs of #", "All the legs in a zoo with #", "On how many legs # stand"},
    {"The letter #", "Letters, word by word: #", "Looking for #"},
}};

constexpr std::array<std::string_view, 4> kClosings = {"It is #.", "So #.", "Result: #", "In all #."};

std::string subject_of(const TaskItem& item) {
  if (item.task == "gcd" || item.task == "lcm")
    return fmt::format("{} and {}", item.meta.at("numbers").at(0).get<int>(), item.meta.at("numbers").at(1).get<int>());
  if (item.task == "simple_equations") return item.meta.at("equation").get<std::string>();
  if (item.task == "leg_counting") return std::string(steps::between(item.question, "you have ", "?").value());
  if (item.task == "letter_counting")
    return fmt::format("{} in \"{}\"", item.meta.at("target_letter").get<std::string>(),
                       steps::between(item.question, "in the text: \"", "\"?").value());
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
  const auto task = std::find(kTasks.begin(), kTasks.end(), item.task);
  HADAL_CHECK(task != kTasks.end());
  const auto& headings = kHeadings[static_cast<std::size_t>(task - kTasks.begin())];
  const std::string_view heading = headings[rng.next_below(headings.size())];
  const std::string_view closing = kClosings[rng.next_below(kClosings.size())];
  return Note{with(heading, subject_of(item)) + "\n", worked.reasoning + "\n" + with(closing, worked.answer) + "\n"};
}

}  // namespace hadal
