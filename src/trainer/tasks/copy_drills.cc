#include "trainer/tasks/copy_drills.h"

#include <cstdint>

namespace hadal {
namespace {

const std::string& any_word(std::span<const std::string> words, Rng& rng) {
  return words[rng.next_below(words.size())];
}

// "4031", "-17", "58.3"
std::string any_number(Rng& rng) {
  std::string number = rng.next_below(4) == 0 ? "-" : "";
  const std::int64_t digits = rng.next_in(1, 4);
  for (std::int64_t i = 0; i < digits; ++i)
    number += static_cast<char>('0' + (i == 0 ? rng.next_in(1, 9) : rng.next_in(0, 9)));
  if (digits < 3 && rng.next_below(3) == 0) number += "." + std::to_string(rng.next_in(0, 9));
  return number;
}

enum class Items { words, numbers, counted_words, mixed };

std::string any_item(Items items, std::span<const std::string> words, Rng& rng) {
  switch (items) {
    case Items::words:
      return any_word(words, rng);
    case Items::numbers:
      return any_number(rng);
    case Items::counted_words:
      return std::to_string(rng.next_in(1, 99)) + " " + any_word(words, rng);
    case Items::mixed:
      break;
  }
  return rng.next_below(2) == 0 ? any_word(words, rng) : any_number(rng);
}

// A list with a blank before every item, so that an item has the same tokens wherever it stands.
std::string joined(const std::vector<std::string>& items, const char* mark) {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) text += (i == 0 ? " " : std::string(mark) + " ") + items[i];
  return text;
}

void give(CopyDrill& drill, const std::string& text) {
  drill.given.emplace_back(drill.text.size(), drill.text.size() + text.size());
  drill.text += text;
}

void repeat_list(const std::vector<std::string>& items, const char* mark, Rng& rng, CopyDrill& drill) {
  const std::int64_t times = rng.next_in(1, 2);
  for (std::int64_t i = 0; i < times; ++i) drill.text += joined(items, mark) + "\n";
}

// " lion > cat": what follows an item. Items that occur twice are not asked for.
void look_up(const std::vector<std::string>& items, Rng& rng, CopyDrill& drill) {
  for (std::size_t asked = 0; asked < items.size(); ++asked) {
    const std::size_t at = rng.next_below(items.size() - 1);
    bool twice = false;
    for (std::size_t i = 0; i < items.size(); ++i) twice = twice || (i != at && items[i] == items[at]);
    if (twice) continue;
    give(drill, " " + items[at]);
    drill.text += " > " + items[at + 1] + "\n";
  }
}

bool is_ascii_word(const std::string& word) {
  for (const char c : word)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) return false;
  return !word.empty();
}

// " lion: l i o n", in lower case as the tasks spell.
void spell(const std::vector<std::string>& items, CopyDrill& drill) {
  for (const std::string& word : items) {
    if (!is_ascii_word(word)) continue;
    drill.text += " " + word + ":";
    for (const char c : word) drill.text += std::string(" ") + static_cast<char>(c | 0x20);
    drill.text += "\n";
  }
}

}  // namespace

CopyDrill make_copy_drill(std::span<const std::string> words, Rng& rng) {
  const std::uint64_t kind = rng.next_below(8);  // three eighths repeat, three look up, two spell
  const Items items_kind = kind >= 6 ? Items::words : static_cast<Items>(rng.next_below(4));
  const char* mark = rng.next_below(2) == 0 ? "," : "";
  std::vector<std::string> items;
  for (std::int64_t n = rng.next_in(3, 14); n > 0; --n) items.push_back(any_item(items_kind, words, rng));
  CopyDrill drill;
  give(drill, joined(items, mark) + "\n");
  if (kind < 3)
    repeat_list(items, mark, rng, drill);
  else if (kind < 6)
    look_up(items, rng, drill);
  else
    spell(items, drill);
  return drill;
}

}  // namespace hadal
