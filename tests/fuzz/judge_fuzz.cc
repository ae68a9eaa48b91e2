// Hostile answers and hostile task lines: every rule must give a verdict, every line an item or an error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "trainer/tasks/judge.h"
#include "trainer/tasks/task_item.h"
#include "trainer/tasks/worked_steps.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using nlohmann::json;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const json kMeta = {{"simplified_numerator", 5},
                             {"simplified_denominator", 8},
                             {"direction", "ascending"},
                             {"numbers", {3, 1, 28}},
                             {"target", 31}};
  struct Item {
    const char *task, *answer;
  };
  constexpr Item kItems[] = {{"gcd", "8"},
                             {"chain_sum", "8"},
                             {"spell_backward", "abc"},
                             {"prime_factorization", "2 × 3"},
                             {"fraction_simplification", "5/8"},
                             {"gsm_symbolic", "25"},
                             {"number_sorting", "['-53.3', '9.0']"},
                             {"countdown", "3*1 + 28"},
                             {"time_intervals", "07:00"},
                             {"knights_knaves", "Mason is an egoist, and Sofia is an altruist."}};
  for (const Item& item : kItems) {
    if (!hadal::judge(item.task, text, item.answer, kMeta).ok()) __builtin_trap();
  }
  const auto item = hadal::parse_task_item(text, "fuzz");
  if (item.ok()) (void)hadal::work_out(*item);
  return 0;
}
