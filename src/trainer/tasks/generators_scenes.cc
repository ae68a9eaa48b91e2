// The generators whose questions are scenes: puzzles, polygons, clocks, families, words.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <utility>

#include "trainer/tasks/generators_parts.h"

namespace hadal::generating {

using nlohmann::json;

namespace {

// `count` different names.
std::vector<std::string> draw_names(std::span<const std::string_view> names, std::size_t count, Rng& rng) {
  std::vector<std::string> chosen;
  while (chosen.size() < count) {
    std::string name(names[rng.next_below(names.size())]);
    if (std::find(chosen.begin(), chosen.end(), name) == chosen.end()) chosen.push_back(std::move(name));
  }
  return chosen;
}

struct Solution {
  std::string text;
  std::int64_t value = 0;
};

// An expression of all of `numbers`: three in four a sum of signed numbers, else a product or quotient of two of them
// first. Nothing if a quotient is not whole.
std::optional<Solution> countdown_solution(const std::vector<std::int64_t>& numbers, Rng& rng) {
  Solution solution{std::to_string(numbers[0]), numbers[0]};
  std::size_t next = 1;
  if (rng.next_below(4) == 0) {
    const std::int64_t a = numbers[0];
    const std::int64_t b = numbers[1];
    const bool divide = rng.next_below(3) == 0;
    if (divide && a % b != 0) return std::nullopt;
    solution = {solution.text + (divide ? "/" : "*") + std::to_string(b), divide ? a / b : a * b};
    next = 2;
  }
  for (; next < numbers.size(); ++next) {
    const bool plus = rng.next_below(2) == 0;
    solution.text += (plus ? " + " : " - ") + std::to_string(numbers[next]);
    solution.value += plus ? numbers[next] : -numbers[next];
  }
  return solution;
}

}  // namespace

TaskItem make_countdown(Rng& rng) {
  for (;;) {
    std::vector<std::int64_t> numbers(static_cast<std::size_t>(rng.next_in(3, 4)));
    for (std::int64_t& number : numbers) number = rng.next_in(1, 50);
    const std::optional<Solution> solution = countdown_solution(numbers, rng);
    if (!solution || solution->value < 10 || solution->value > 100) continue;
    for (std::size_t i = numbers.size(); i-- > 1;) std::swap(numbers[i], numbers[rng.next_below(i + 1)]);
    std::string list;
    for (const std::int64_t number : numbers) list += (list.empty() ? "" : ", ") + std::to_string(number);
    const std::string target = std::to_string(solution->value);
    const std::array<std::string, 3> wordings = {
        "Find a way to make " + target + " using all of these numbers: " + list +
            ".\nEach number can only be used once.\n",
        "Using all the numbers " + list + ", create an expression that equals " + target +
            ".\nYou can only use each number once.\n",
        "Calculate " + target + " using all of these numbers: " + list + ".\nEach number may be used at most once.\n"};
    return item_of(
        wordings[rng.next_below(3)] +
            "\nFinal answer format instructions:\n1. Provide your solution as a arithmetic expression (no '=' "
            "sign).\n2. Do not include the target number in the expression.\n3. Use '*' for multiplication.\n4. "
            "Use '/' for division.\n5. Do not include any other text or formatting.\n",
        solution->text, {{"numbers", numbers}, {"target", solution->value}});
  }
}

TaskItem make_simple_geometry(Rng& rng) {
  for (;;) {
    const std::int64_t sides = rng.next_in(3, 6);
    std::int64_t last = (sides - 2) * 180;
    std::vector<std::int64_t> angles;
    for (std::int64_t i = 1; i < sides; ++i) {
      angles.push_back(rng.next_in(10, 170));
      last -= angles.back();
    }
    if (last < 1 || last >= 180) continue;
    std::string list;
    json known;
    for (const std::int64_t angle : angles) {
      list += (list.empty() ? "" : ", ") + std::to_string(angle) + ".0°";
      known.push_back(static_cast<double>(angle));
    }
    const std::string n = std::to_string(sides);
    const std::string n_known = std::to_string(sides - 1);
    const std::array<std::string, 3> wordings = {
        "Consider a convex " + n + "-gon whose first " + n_known + " interior angles are: " + list +
            ". Determine the measure of the remaining angle.",
        "Given a convex polygon with " + n + " sides, its first " + n_known + " interior angles are: " + list +
            ". What is the measure of the remaining interior angle (in degrees)?",
        "A convex polygon has " + n + " sides. The measures of the first " + n_known + " interior angles are: " + list +
            ". Find the measure of the last interior angle."};
    return item_of(
        wordings[rng.next_below(3)] + "Return only the angle as your answer.Do not give the units in your answer.",
        std::to_string(last), {{"known_angles", known}});
  }
}

TaskItem make_time_intervals(Rng& rng) {
  constexpr std::array<const char*, 10> kWordings = {
      "A flight departed at % and arrived at %. How long was the flight? Answer in ",
      "A meeting started at % and ended at %. How long was the meeting? Answer in ",
      "A system backup started at % and completed at %. What was the total backup duration? Answer in ",
      "A database query started at % and ended at %. How long did the query take? Answer in ",
      "A conference call began at % and ended at %. How long was the conference? Answer in ",
      "A video call started at % and ended at %. How long was the call? Answer in ",
      "A system operation started at % and completed at %. What was the operation duration? Answer in ",
      "How much time elapsed from % to %? Give your answer in ",
      "What is the duration between % and %? Please answer in ",
      "Calculate the time difference between % and %. Express the result in "};
  const bool seconds = rng.next_below(2) == 0;
  const auto write = [seconds](std::int64_t t) {
    const std::string clock = clock_text(t / 3600) + ":" + clock_text(t / 60 % 60);
    return seconds ? clock + ":" + clock_text(t % 60) : clock;
  };
  const std::int64_t unit = seconds ? 1 : 60;
  std::int64_t from = rng.next_in(0, 24 * 3600 / unit - 1) * unit;
  std::int64_t to = rng.next_in(0, 24 * 3600 / unit - 1) * unit;
  if (from > to) std::swap(from, to);
  std::string question = kWordings[rng.next_below(kWordings.size())];
  question.replace(question.find('%'), 1, write(from));
  question.replace(question.find('%'), 1, write(to));
  return item_of(question + (seconds ? "HH:MM:SS." : "HH:MM."), write(to - from),
                 {{"task_type", seconds ? "time_seconds" : "time"}});
}

namespace {
constexpr std::array<std::string_view, 43> kMen = {
    "Aiden",   "Alexander", "Andrew",    "Atlas",    "Axel",   "Benjamin", "Charles", "Christopher", "Daniel",
    "David",   "Edward",    "Ethan",     "Finn",     "George", "Harry",    "Henry",   "Jack",        "Jacob",
    "James",   "Jayden",    "John",      "Joseph",   "Kai",    "Liam",     "Logan",   "Lucas",       "Mason",
    "Matthew", "Michael",   "Noah",      "Oliver",   "Owen",   "Peter",    "Phoenix", "Richard",     "Robert",
    "Ryder",   "Samuel",    "Sebastian", "Theodore", "Thomas", "William",  "Zion"};
constexpr std::array<std::string_view, 43> kWomen = {
    "Abigail", "Alice",   "Amelia",    "Anna",     "Aria",   "Aurora", "Ava",    "Barbara",  "Charlotte",
    "Chloe",   "Eleanor", "Elizabeth", "Emily",    "Emma",   "Grace",  "Hannah", "Isabella", "Jennifer",
    "Jessica", "Karen",   "Lily",      "Linda",    "Lisa",   "Lucy",   "Luna",   "Margaret", "Mary",
    "Mia",     "Nova",    "Olivia",    "Patricia", "Rain",   "River",  "Sage",   "Sarah",    "Sky",
    "Sophia",  "Sophie",  "Susan",     "Victoria", "Willow", "Winter", "Zoe"};
}  // namespace

// Grandparents, their son and his wife; then, as the family grows, one or two children and the wife's parents.
TaskItem make_family_relationships(Rng& rng) {
  struct Person {
    std::string name;
    bool male;
  };
  const std::int64_t size = rng.next_in(4, 8);
  const std::vector<std::string> men = draw_names(kMen, 5, rng);
  const std::vector<std::string> women = draw_names(kWomen, 5, rng);
  const std::size_t child_count = size == 4 ? 0 : size == 5 || size == 7 ? 1 : 2;
  const Person grandfather{men[0], true};
  const Person grandmother{women[0], false};
  const Person father{men[1], true};
  const Person mother{women[1], false};
  std::vector<Person> children;
  for (std::size_t i = 0; i < child_count; ++i) {
    const bool male = rng.next_below(2) == 0;
    children.push_back({male ? men[2 + i] : women[2 + i], male});
  }
  std::string story = grandfather.name + " is married to " + grandmother.name + ". They have a child called " +
                      father.name + ". " + father.name + " is married to " + mother.name + ".";
  if (child_count == 1) story += " They have a child called " + children[0].name + ".";
  if (child_count == 2) story += " They have children called " + children[0].name + " and " + children[1].name + ".";
  struct Relation {
    Person one, other;
    const char *male, *female;
  };
  std::vector<Relation> relations;
  const auto both_ways = [&relations](const Person& elder, const Person& child) {
    relations.push_back({elder, child, "father", "mother"});
    relations.push_back({child, elder, "son", "daughter"});
  };
  const auto couple = [&relations](const Person& husband, const Person& wife) {
    relations.push_back({husband, wife, "husband", "wife"});
    relations.push_back({wife, husband, "husband", "wife"});
  };
  couple(grandfather, grandmother);
  couple(father, mother);
  both_ways(grandfather, father);
  both_ways(grandmother, father);
  std::vector<Person> grandparents = {grandfather, grandmother};
  if (size >= 7) {
    const Person others_father{men[4], true};
    const Person others_mother{women[4], false};
    story += " " + others_father.name + " is married to " + others_mother.name + ". They have a child called " +
             mother.name + ".";
    couple(others_father, others_mother);
    both_ways(others_father, mother);
    both_ways(others_mother, mother);
    grandparents.push_back(others_father);
    grandparents.push_back(others_mother);
  }
  for (const Person& child : children) {
    both_ways(father, child);
    both_ways(mother, child);
    for (const Person& elder : grandparents) relations.push_back({elder, child, "grandfather", "grandmother"});
  }
  if (child_count == 2) {
    relations.push_back({children[0], children[1], "brother", "sister"});
    relations.push_back({children[1], children[0], "brother", "sister"});
  }
  const Relation& asked = relations[rng.next_below(relations.size())];
  const std::string& one = asked.one.name;
  const std::string& other = asked.other.name;
  const std::array<std::string, 3> wordings = {
      "What relation is " + one + " to " + other + "? Answer with a single word.",
      "What is " + one + " to " + other + "? Respond only with the word that describes their relationship.",
      "How is " + one + " related to " + other + "? Provide the relationship in one word."};
  return item_of(story + "\n\n" + wordings[rng.next_below(3)], asked.one.male ? asked.male : asked.female,
                 {{"person1", one}, {"person2", other}});
}

TaskItem make_letter_counting(std::span<const std::string> words, Rng& rng) {
  const std::int64_t count = rng.next_in(5, 8);
  std::string text;
  for (std::int64_t i = 0; i < count; ++i) text += (i == 0 ? "" : " ") + words[rng.next_below(words.size())];
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  char letter = ' ';
  for (int tries = 0; tries < 1000 && (letter == ' ' || (static_cast<unsigned char>(letter) & 0x80) != 0); ++tries)
    letter = lower(text[rng.next_below(text.size())]);
  if ((static_cast<unsigned char>(letter) & 0x80) != 0 || letter == ' ') letter = 'e';  // not a letter of English in it
  const auto n = std::count_if(text.begin(), text.end(), [&](char c) { return lower(c) == letter; });
  return item_of(
      "How many times does the letter \"" + std::string(1, letter) + "\" appear in the text: \"" + text + "\"?",
      std::to_string(n), {{"target_letter", std::string(1, letter)}});
}

TaskItem make_spell_backward(std::span<const std::string> words, Rng& rng) {
  std::string word = words[rng.next_below(words.size())];
  for (int tries = 0; tries < 1000; ++tries) {
    const bool ascii =
        std::all_of(word.begin(), word.end(), [](char c) { return (static_cast<unsigned char>(c) & 0x80) == 0; });
    if (ascii && word.size() >= 3 && word.size() <= 10) break;
    word = words[rng.next_below(words.size())];
  }
  return item_of("Spell this word backward (example: sun -> nus): " + word, std::string(word.rbegin(), word.rend()),
                 {{"word", word}});
}

}  // namespace hadal::generating
