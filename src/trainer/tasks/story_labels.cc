// One or two words for each step of the 24 templates, in eight languages.
#include "trainer/tasks/story_labels.h"

#include <array>
#include <cstdint>

namespace hadal::steps {
namespace {

constexpr std::array<std::string_view, 8> kLanguages = {"en", "zh", "es", "fr", "de", "ja", "ru", "ar"};

enum class Label : std::uint8_t {
  none,
  cost,
  left,
  total,
  each,
  distance,
  hours,
  age,
  years,
  part,
  second,
  third,
  difference,
  per_day,
  used,
  half,
  perimeter,
  percent,
};

// [label, language]
constexpr std::array<std::array<std::string_view, 8>, 18> kWords = {{
    {"", "", "", "", "", "", "", ""},
    {"cost", "费用", "costo", "coût", "Kosten", "費用", "стоимость", "التكلفة"},
    {"left", "剩下", "quedan", "reste", "Rest", "残り", "остаток", "الباقي"},
    {"total", "一共", "total", "total", "gesamt", "合計", "всего", "المجموع"},
    {"each", "每份", "cada uno", "chacun", "je", "一つ分", "каждому", "لكل واحد"},
    {"distance", "路程", "distancia", "distance", "Strecke", "距離", "путь", "المسافة"},
    {"hours", "小时", "horas", "heures", "Stunden", "時間", "часы", "الساعات"},
    {"age", "年龄", "edad", "âge", "Alter", "年齢", "возраст", "العمر"},
    {"years", "年数", "años", "années", "Jahre", "年数", "годы", "السنوات"},
    {"part", "部分", "parte", "part", "Teil", "部分", "часть", "الجزء"},
    {"second", "第二", "segundo", "deuxième", "zweite", "二番目", "второй", "الثاني"},
    {"third", "第三", "tercero", "troisième", "dritte", "三番目", "третий", "الثالث"},
    {"difference", "相差", "diferencia", "différence", "Unterschied", "差", "разница", "الفرق"},
    {"per day", "每天", "por día", "par jour", "pro Tag", "一日", "в день", "في اليوم"},
    {"used", "用去", "usados", "utilisé", "verbraucht", "使用", "расход", "المستعمل"},
    {"half", "一半", "mitad", "moitié", "Hälfte", "半分", "половина", "النصف"},
    {"perimeter", "周长", "perímetro", "périmètre", "Umfang", "周囲", "периметр", "المحيط"},
    {"percent", "百分比", "porcentaje", "pourcentage", "Prozent", "割合", "процент", "النسبة"},
}};

struct TemplateLabels {
  std::string_view id;
  std::array<Label, 4> labels;
};

constexpr std::array<TemplateLabels, 24> kTemplates = {{
    {"buy_total", {Label::cost}},
    {"buy_change", {Label::cost, Label::left}},
    {"buy_two", {Label::cost, Label::cost, Label::total}},
    {"share_equal", {Label::each}},
    {"share_boxes", {Label::total, Label::each}},
    {"share_rest", {Label::left, Label::each}},
    {"speed_distance", {Label::distance}},
    {"speed_legs", {Label::distance, Label::distance, Label::total}},
    {"speed_time", {Label::hours}},
    {"age_future", {Label::age, Label::age}},
    {"age_sum", {Label::age, Label::total, Label::years, Label::total}},
    {"stock_change", {Label::left, Label::total}},
    {"stock_days", {Label::used, Label::left}},
    {"groups_total", {Label::total, Label::total}},
    {"seats_free", {Label::total, Label::left}},
    {"percent_of", {Label::percent, Label::part}},
    {"discount", {Label::percent, Label::part, Label::left}},
    {"percent_tank", {Label::percent, Label::part, Label::left, Label::total}},
    {"compare_times", {Label::second, Label::difference}},
    {"compare_three", {Label::second, Label::third, Label::total, Label::total}},
    {"practice", {Label::per_day, Label::total}},
    {"reading", {Label::used, Label::left, Label::each}},
    {"perimeter", {Label::half, Label::perimeter}},
    {"fence_cost", {Label::half, Label::perimeter, Label::cost}},
}};

}  // namespace

std::string_view story_label(std::string_view template_id, std::size_t step, std::string_view lang) {
  for (const TemplateLabels& candidate : kTemplates) {
    if (candidate.id != template_id || step >= candidate.labels.size()) continue;
    for (std::size_t i = 0; i < kLanguages.size(); ++i) {
      if (kLanguages[i] == lang) return kWords[static_cast<std::size_t>(candidate.labels[step])][i];
    }
  }
  return {};
}

}  // namespace hadal::steps
