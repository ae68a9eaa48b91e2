#include "trainer/data_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "text/chat_messages.h"
#include "text/utf8.h"
#include "trainer/tasks/asked_sums.h"
#include "trainer/tasks/copy_drills.h"
#include "trainer/tasks/drills.h"
#include "trainer/tasks/generators.h"
#include "trainer/tasks/judge.h"
#include "trainer/tasks/line_reader.h"
#include "trainer/tasks/notebook.h"
#include "trainer/tasks/story_templates.h"
#include "trainer/tasks/task_item.h"

namespace hadal {
namespace {

constexpr std::size_t kPartBytes = 2048;  // of a document: about a row of 512 tokens

// The random numbers of the n-th item of a source.
Rng stream_of(std::uint64_t seed, std::uint64_t n) {
  return Rng(seed ^ (n * 0x9e3779b97f4a7c15ULL));
}

// Sources of questions; their reasoning is worked out.
class QuestionSource : public DataSource {
 public:
  Result<std::optional<SourceText>> text(std::uint64_t n) const final {
    HADAL_ASSIGN(std::optional<TaskItem> item, question(n));
    if (!item) return std::optional<SourceText>();
    Result<WorkedExample> worked = work_out(*item);
    if (!worked.ok()) return std::optional<SourceText>();  // one such item among a million must not end a run
    return std::optional<SourceText>(QuestionText{std::move(item->question), std::move(worked).value()});
  }
};

// Sources of text that asks nothing.
class TextOnlySource : public DataSource {
 public:
  Result<std::optional<TaskItem>> question(std::uint64_t) const final { return std::optional<TaskItem>(); }
};

std::optional<TaskItem> unless_held_out(TaskItem item, const QuestionFilter& held_out) {
  return held_out.is_held_out(item) ? std::nullopt : std::optional(std::move(item));
}

// Lines of task files in one block of memory: parsed again when they are drawn, because half a million parsed items
// would take ten times the room.
class TaskSource final : public QuestionSource {
 public:
  static Result<std::unique_ptr<DataSource>> open(const SourceRecipe& recipe, std::uint64_t seed,
                                                  const QuestionFilter& held_out) {
    auto source = std::make_unique<TaskSource>();
    source->held_out_ = &held_out;
    source->seed_ = seed;
    source->name_ = recipe.name;
    source->begins_.push_back(0);
    for (const std::filesystem::path& path : recipe.paths) {
      HADAL_ASSIGN(TaskReader reader, TaskReader::open(path.string()));
      for (;;) {
        HADAL_ASSIGN(const std::optional<TaskItem> item, reader.next());
        if (!item) break;
        HADAL_RETURN_IF_ERROR(check_judged(item->task, item->answer, item->meta,
                                           fmt::format("{}:{}", path.filename().string(), reader.line_number())));
        source->lines_ += reader.line();
        source->begins_.push_back(source->lines_.size());
      }
    }
    if (source->size() == 0)
      return Error{ErrorKind::invalid, fmt::format("source {}: expected questions, found empty files", recipe.name)};
    return std::unique_ptr<DataSource>(std::move(source));
  }

  std::uint64_t size() const override { return begins_.size() - 1; }

  Result<std::optional<TaskItem>> question(std::uint64_t n) const override {
    const std::uint64_t round = n / size();
    const std::uint64_t i = permuted(Rng(seed_, round).next_u64(), size(), n % size());
    const std::string_view line = std::string_view(lines_).substr(begins_[i], begins_[i + 1] - begins_[i]);
    HADAL_ASSIGN(TaskItem item, parse_task_item(line, name_));
    if (!judge_rule(item.task)) return std::optional<TaskItem>();
    return unless_held_out(std::move(item), *held_out_);
  }

 private:
  std::uint64_t seed_ = 0;
  const QuestionFilter* held_out_ = nullptr;
  std::string name_, lines_;
  std::vector<std::size_t> begins_;  // of line i in lines_; one more at the end
};

// Conversations, in memory as text: recipes use some thousand short ones.
class ConversationSource final : public TextOnlySource {
 public:
  static Result<std::unique_ptr<DataSource>> open(const SourceRecipe& recipe, std::uint64_t seed) {
    auto source = std::make_unique<ConversationSource>();
    source->seed_ = seed;
    for (const std::filesystem::path& path : recipe.paths) {
      HADAL_ASSIGN(LineReader lines, LineReader::open(path.string()));
      for (;;) {
        HADAL_ASSIGN(const bool more, lines.next());
        if (!more) break;
        HADAL_ASSIGN(ConversationText text, parse(lines.line(), lines.where()));
        source->conversations_.push_back(std::move(text));
      }
    }
    if (source->size() == 0)
      return Error{ErrorKind::invalid,
                   fmt::format("source {}: expected conversations, found empty files", recipe.name)};
    return std::unique_ptr<DataSource>(std::move(source));
  }

  std::uint64_t size() const override { return conversations_.size(); }

  Result<std::optional<SourceText>> text(std::uint64_t n) const override {
    const std::uint64_t key = Rng(seed_, n / size()).next_u64();
    return std::optional<SourceText>(conversations_[permuted(key, size(), n % size())]);
  }

 private:
  static Result<ConversationText> parse(const std::string& line, const std::string& where) {
    HADAL_ASSIGN(const Json json, parse_json(line, where));
    if (!json.is_object() || !json.contains("messages"))
      return Error{ErrorKind::invalid,
                   fmt::format("{}: expected an object with messages, found {}", where, json_excerpt(json))};
    HADAL_ASSIGN(std::vector<ChatMessage> messages, read_chat_messages(json["messages"], where + ": messages"));
    if (messages.size() < 2 || messages.back().role != "assistant")
      return Error{ErrorKind::invalid,
                   fmt::format("{}: messages: expected at least two, the last an assistant's, found {}", where,
                               messages.empty() ? "none" : "the last of " + messages.back().role)};
    const bool says = json.contains("answer_by_letters");
    if (says && !json["answer_by_letters"].is_boolean())
      return Error{ErrorKind::invalid, fmt::format("{}: answer_by_letters: expected true or false, found {}", where,
                                                   json_excerpt(json["answer_by_letters"]))};
    return ConversationText{std::move(messages), says && json["answer_by_letters"].get<bool>()};
  }

  std::uint64_t seed_ = 0;
  std::vector<ConversationText> conversations_;
};

class TextSource final : public TextOnlySource {
 public:
  static Result<std::unique_ptr<DataSource>> open(const SourceRecipe& recipe, std::uint64_t seed) {
    auto source = std::make_unique<TextSource>();
    source->seed_ = seed;
    for (const std::filesystem::path& path : recipe.paths) {
      HADAL_ASSIGN(std::string text, read_text_file(path, std::uint64_t{1} << 30));
      HADAL_RETURN_IF_ERROR(check_utf8(path.filename().string(), text));
      source->cut(std::move(text));
    }
    if (source->size() == 0)
      return Error{ErrorKind::invalid, fmt::format("source {}: expected text, found empty files", recipe.name)};
    return std::unique_ptr<DataSource>(std::move(source));
  }

  std::uint64_t size() const override { return parts_.size(); }

  Result<std::optional<SourceText>> text(std::uint64_t n) const override {
    const std::uint64_t key = Rng(seed_, n / size()).next_u64();
    const Part& part = parts_[permuted(key, size(), n % size())];
    const std::string& document = documents_[part.document];
    return std::optional<SourceText>(
        DocumentText{document.substr(part.begin, part.end - part.begin), part.end == document.size(), {}});
  }

 private:
  struct Part {
    std::size_t document, begin, end;
  };
  // After a line break or a blank where there is one, never inside a character.
  void cut(std::string text) {
    std::size_t begin = 0;
    while (begin < text.size()) {
      std::size_t end = std::min(text.size(), begin + kPartBytes);
      if (end < text.size()) {
        const std::size_t white = text.find_last_of("\n ", end - 1);
        if (white != std::string::npos && white > begin + kPartBytes / 2) end = white + 1;
        while ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
      }
      parts_.push_back({documents_.size(), begin, end});
      begin = end;
    }
    documents_.push_back(std::move(text));
  }

  std::uint64_t seed_ = 0;
  std::vector<std::string> documents_;
  std::vector<Part> parts_;
};

// Word problems from templates; languages take turns, so that each gets the same share.
class StorySource final : public QuestionSource {
 public:
  StorySource(StoryTemplates templates, std::vector<std::string> languages, std::uint64_t seed,
              const QuestionFilter& held_out)
      : templates_(std::move(templates)), languages_(std::move(languages)), seed_(seed), held_out_(held_out) {}

  static Result<std::unique_ptr<DataSource>> open(const SourceRecipe& recipe, std::uint64_t seed,
                                                  const QuestionFilter& held_out) {
    HADAL_ASSIGN(StoryTemplates templates, StoryTemplates::load(recipe.paths.front().string()));
    if (recipe.paths.size() == 2) {
      HADAL_ASSIGN(StoryParts parts, StoryParts::load(recipe.paths.back().string()));
      templates.add_parts(std::move(parts));
    }
    std::vector<std::string> languages = recipe.languages.empty() ? templates.languages() : recipe.languages;
    for (const std::string& language : languages)
      if (std::find(templates.languages().begin(), templates.languages().end(), language) ==
          templates.languages().end())
        return Error{ErrorKind::invalid, fmt::format("source {}: languages: expected one of {}, found {}", recipe.name,
                                                     fmt::join(templates.languages(), " "), language)};
    return std::unique_ptr<DataSource>(
        std::make_unique<StorySource>(std::move(templates), std::move(languages), seed, held_out));
  }

  std::uint64_t size() const override { return 0; }

  Result<std::optional<TaskItem>> question(std::uint64_t n) const override {
    Rng rng = stream_of(seed_, n);
    HADAL_ASSIGN(TaskItem item, templates_.make(languages_[n % languages_.size()], rng));
    return unless_held_out(std::move(item), held_out_);
  }

 private:
  StoryTemplates templates_;
  std::vector<std::string> languages_;
  std::uint64_t seed_;
  const QuestionFilter& held_out_;
};

// Questions of one gym task, made natively.
class MadeTaskSource final : public QuestionSource {
 public:
  MadeTaskSource(std::string task, std::vector<std::string> words, std::uint64_t seed, const QuestionFilter& held_out)
      : task_(std::move(task)), words_(std::move(words)), seed_(seed), held_out_(held_out) {}

  static Result<std::unique_ptr<DataSource>> open(const std::string& task,
                                                  const std::vector<std::filesystem::path>& word_files,
                                                  std::uint64_t seed, const QuestionFilter& held_out) {
    std::vector<std::string> words;
    if (!word_files.empty()) {
      HADAL_ASSIGN(words, load_words(word_files.front().string()));
    }
    Rng rng(seed);
    HADAL_RETURN_IF_ERROR(make_task(task, words, rng));  // words that are needed and absent show here
    return std::unique_ptr<DataSource>(std::make_unique<MadeTaskSource>(task, std::move(words), seed, held_out));
  }

  std::uint64_t size() const override { return 0; }

  Result<std::optional<TaskItem>> question(std::uint64_t n) const override {
    Rng rng = stream_of(seed_, n);
    HADAL_ASSIGN(TaskItem item, make_task(task_, words_, rng));
    return unless_held_out(std::move(item), held_out_);
  }

 private:
  std::string task_;
  std::vector<std::string> words_;
  std::uint64_t seed_;
  const QuestionFilter& held_out_;
};

class AskedSumSource final : public QuestionSource {
 public:
  AskedSumSource(std::uint64_t seed, const QuestionFilter& held_out) : seed_(seed), held_out_(held_out) {}

  std::uint64_t size() const override { return 0; }

  Result<std::optional<TaskItem>> question(std::uint64_t n) const override {
    Rng rng = stream_of(seed_, n);
    return unless_held_out(make_asked_sum(rng), held_out_);
  }

 private:
  std::uint64_t seed_;
  const QuestionFilter& held_out_;
};

// Lines of bare arithmetic, several to a document so that they are met at many positions, as in worked steps.
class DrillSource final : public TextOnlySource {
 public:
  explicit DrillSource(std::uint64_t seed) : seed_(seed) {}

  std::uint64_t size() const override { return 0; }

  Result<std::optional<SourceText>> text(std::uint64_t n) const override {
    Rng rng = stream_of(seed_, n);
    DocumentText document;
    const auto bytes = static_cast<std::size_t>(rng.next_in(40, 240));
    while (document.text.size() < bytes) {
      const Drill drill = make_drill(rng);
      document.given.emplace_back(document.text.size(), document.text.size() + drill.given.size());
      document.text += drill.given + drill.worked + "\n";
    }
    return std::optional<SourceText>(std::move(document));
  }

 private:
  std::uint64_t seed_;
};

class CopyDrillSource final : public TextOnlySource {
 public:
  CopyDrillSource(std::vector<std::string> words, std::uint64_t seed) : words_(std::move(words)), seed_(seed) {}

  static Result<std::unique_ptr<DataSource>> open(const SourceRecipe& recipe, std::uint64_t seed) {
    HADAL_ASSIGN(std::vector<std::string> words, load_words(recipe.paths.front().string()));
    return std::unique_ptr<DataSource>(std::make_unique<CopyDrillSource>(std::move(words), seed));
  }

  std::uint64_t size() const override { return 0; }

  Result<std::optional<SourceText>> text(std::uint64_t n) const override {
    Rng rng = stream_of(seed_, n);
    CopyDrill drill = make_copy_drill(words_, rng);
    return std::optional<SourceText>(DocumentText{std::move(drill.text), true, std::move(drill.given)});
  }

 private:
  std::vector<std::string> words_;
  std::uint64_t seed_;
};

// Pages of one to three notes.
class NotebookSource final : public TextOnlySource {
 public:
  NotebookSource(std::vector<std::string> words, std::uint64_t seed, const QuestionFilter& held_out)
      : words_(std::move(words)), seed_(seed), held_out_(held_out) {}

  static Result<std::unique_ptr<DataSource>> open(const SourceRecipe& recipe, std::uint64_t seed,
                                                  const QuestionFilter& held_out) {
    HADAL_ASSIGN(std::vector<std::string> words, load_words(recipe.paths.front().string()));
    return std::unique_ptr<DataSource>(std::make_unique<NotebookSource>(std::move(words), seed, held_out));
  }

  std::uint64_t size() const override { return 0; }

  Result<std::optional<SourceText>> text(std::uint64_t n) const override {
    Rng rng = stream_of(seed_, n);
    DocumentText page;
    const std::int64_t notes = rng.next_in(1, 3);
    for (std::int64_t i = 0; i < notes; ++i) {
      const std::span<const std::string_view> tasks = notebook_tasks();
      HADAL_ASSIGN(const TaskItem item, make_task(tasks[rng.next_below(tasks.size())], words_, rng));
      if (held_out_.is_held_out(item)) continue;
      HADAL_ASSIGN(const Note note, make_note(item, rng));
      page.given.emplace_back(page.text.size(), page.text.size() + note.heading.size());
      page.text += note.heading + note.worked;
    }
    if (page.text.empty()) return std::optional<SourceText>();
    return std::optional<SourceText>(std::move(page));
  }

 private:
  std::vector<std::string> words_;
  std::uint64_t seed_;
  const QuestionFilter& held_out_;
};

}  // namespace

// A Feistel network over the next even number of bits; values beyond size walk on until they fall inside (4 tries at
// most on average, because 2^bits < 4 size).
std::uint64_t permuted(std::uint64_t key, std::uint64_t size, std::uint64_t position) {
  if (size <= 1) return 0;
  const int half = (std::bit_width(size - 1) + 1) / 2;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  std::uint64_t x = position;
  do {
    std::uint64_t left = x >> half, right = x & mask;
    for (std::uint64_t round = 0; round < 4; ++round) {
      const std::uint64_t mixed = Rng(key ^ right, round).next_u64() & mask;
      left = std::exchange(right, left ^ mixed);
    }
    x = left << half | right;
  } while (x >= size);
  return x;
}

namespace {

Result<std::unique_ptr<DataSource>> open_kind(const SourceRecipe& recipe, std::uint64_t seed,
                                              const QuestionFilter& held_out) {
  std::error_code ignored;
  switch (recipe.kind) {
    case SourceKind::tasks:
      if (recipe.if_absent == IfAbsent::fail || std::filesystem::exists(recipe.paths.front(), ignored))
        return TaskSource::open(recipe, seed, held_out);
      if (recipe.if_absent == IfAbsent::leave_out) return std::unique_ptr<DataSource>();
      return MadeTaskSource::open(recipe.name, recipe.words, seed, held_out);
    case SourceKind::text:
      return TextSource::open(recipe, seed);
    case SourceKind::conversations:
      return ConversationSource::open(recipe, seed);
    case SourceKind::generator:
      break;
  }
  if (recipe.generator == "word_problems") return StorySource::open(recipe, seed, held_out);
  if (recipe.generator == "drills") return std::unique_ptr<DataSource>(std::make_unique<DrillSource>(seed));
  if (recipe.generator == "copy_drills") return CopyDrillSource::open(recipe, seed);
  if (recipe.generator == "notebook") return NotebookSource::open(recipe, seed, held_out);
  if (recipe.generator == "asked_sums")
    return std::unique_ptr<DataSource>(std::make_unique<AskedSumSource>(seed, held_out));
  return MadeTaskSource::open(recipe.generator, recipe.paths, seed, held_out);
}

}  // namespace

Result<std::unique_ptr<DataSource>> open_source(const SourceRecipe& recipe, std::uint64_t seed,
                                                const QuestionFilter& held_out) {
  HADAL_ASSIGN(std::unique_ptr<DataSource> source, open_kind(recipe, seed, held_out));
  if (source) source->name_ = recipe.name;
  return source;
}

}  // namespace hadal
