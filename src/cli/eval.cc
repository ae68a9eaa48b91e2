// `hadal eval`: asks a model the questions of task files, and judges its answers by their tasks' rules.
//
// Questions are read as a stream and `batch` of them are with the engine at any time; results are written in the order
// of the files. With --answers no model is asked: the files bring the answers.
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "base/atomic_file.h"
#include "base/cancel.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/progress.h"
#include "chat/chat_model.h"
#include "chat/model_files.h"
#include "cli/shared_options.h"
#include "trainer/tasks/judge.h"
#include "trainer/tasks/task_item.h"

namespace hadal {
namespace {

constexpr const char* kExamples =
    "\nFILE is JSONL, gzipped or not: {\"task\", \"question\", \"answer\", \"meta\"?, \"lang\"?} a line.\n"
    "\nExamples:\n"
    "  hadal eval questions.jsonl --limit 50               the built-in model\n"
    "  hadal eval MODEL a.jsonl b.jsonl.gz --out results.jsonl\n"
    "  hadal eval --answers given.jsonl --out judged.jsonl  judge `answer_given` of each line\n";

constexpr auto kPollInterval = std::chrono::milliseconds(200);  // how soon Ctrl-C is noticed

struct EvalOptions {
  std::vector<std::string> model_and_files;
  std::string out, format;
  std::size_t limit = SIZE_MAX;  // of each file
  int batch = 16, max_tokens = 0;
  bool answers = false, json = false;
  std::optional<bool> thinking;
  SamplingFlags sampling;
  ComputeOptions compute;
};

struct Score {
  std::int64_t n = 0, right = 0;

  void add(bool is_right) {
    ++n;
    right += is_right;
  }
  double share() const { return n == 0 ? 0 : static_cast<double>(right) / static_cast<double>(n); }
};

struct Scores {
  std::map<std::string, Score> tasks, languages;  // languages: of word problems alone, the other tasks are English
  Score all;
  std::int64_t completion_tokens = 0;
  std::int64_t cut_short = 0;  // max_tokens or the context was reached
  std::int64_t too_long = 0;   // for the context: not asked, and wrong

  double mean() const {  // over tasks, each with the same weight
    double sum = 0;
    for (const auto& [task, score] : tasks) sum += score.share();
    return tasks.empty() ? 0 : sum / static_cast<double>(tasks.size());
  }
};

// A line with its verdict, appended to RESULTS.
class ResultsFile {
 public:
  static Result<ResultsFile> create(const std::string& path) {
    ResultsFile results;
    if (!path.empty()) {
      HADAL_ASSIGN(AtomicFile file, AtomicFile::create(path));
      results.file_.emplace(std::move(file));
    }
    return results;
  }

  // `line` is the input's own text: what it holds stays as it is.
  Status add(const std::string& line, Json more) {
    if (!file_) return Done{};
    Result<Json> parsed = parse_json(line, "a line");
    if (!parsed.ok()) return parsed.error();
    parsed->update(more);
    return file_->append(parsed->dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  Status commit() { return file_ ? file_->commit() : Status(Done{}); }

 private:
  std::optional<AtomicFile> file_;
};

// The questions of several files as one stream, `limit` of each.
class QuestionStream {
 public:
  QuestionStream(std::vector<std::string> paths, std::size_t limit) : paths_(std::move(paths)), limit_(limit) {}

  struct Question {
    TaskItem item;
    std::string line, where;  // "gcd.dev.jsonl:12"
  };
  Result<std::optional<Question>> next() {
    while (file_ < paths_.size()) {
      if (!reader_) {
        HADAL_ASSIGN(TaskReader reader, TaskReader::open(paths_[file_]));
        reader_.emplace(std::move(reader));
        taken_ = 0;
      }
      if (taken_ < limit_) {
        HADAL_ASSIGN(std::optional<TaskItem> item, reader_->next());
        if (item) {
          ++taken_;
          return std::optional(
              Question{std::move(*item), reader_->line(), fmt::format("{}:{}", paths_[file_], reader_->line_number())});
        }
      }
      reader_.reset();
      ++file_;
    }
    return std::optional<Question>();
  }

  // How many there are in all, found by reading; also shows a broken line before any time is spent on answers.
  static Result<std::uint64_t> count(const std::vector<std::string>& paths, std::size_t limit) {
    QuestionStream all(paths, limit);
    for (std::uint64_t n = 0;; ++n) {
      HADAL_ASSIGN(const std::optional<Question> question, all.next());
      if (!question) return n;
      if (!judge_rule(question->item.task))
        return Error{ErrorKind::unsupported, fmt::format("{}: expected a task that hadal can judge, found \"{}\"",
                                                         question->where, question->item.task)};
    }
  }

 private:
  std::vector<std::string> paths_;
  std::size_t limit_, file_ = 0, taken_ = 0;
  std::optional<TaskReader> reader_;
};

Result<bool> judge_item(const QuestionStream::Question& question, std::string_view given, Scores& scores) {
  const TaskItem& item = question.item;
  Result<bool> right = judge(item.task, given, item.answer, item.meta);
  if (!right.ok()) return Error{right.error().kind, question.where + ": " + right.error().message};
  scores.tasks[item.task].add(*right);
  if (item.task == "word_problems") scores.languages[item.lang].add(*right);
  scores.all.add(*right);
  return right;
}

Error stopped_after(const Scores& scores) {
  return {ErrorKind::cancelled, fmt::format("stopped after {} questions; nothing is written", scores.all.n)};
}

Status judge_given_answers(QuestionStream& stream, ResultsFile& results, Scores& scores, const CancelFlag& cancel) {
  for (;;) {
    if (cancel.requested()) return stopped_after(scores);
    HADAL_ASSIGN(const std::optional<QuestionStream::Question> question, stream.next());
    if (!question) return Done{};
    if (!question->item.answer_given)
      return Error{ErrorKind::not_found, question->where + ": answer_given: expected a string, found none"};
    HADAL_ASSIGN(const bool right, judge_item(*question, *question->item.answer_given, scores));
    HADAL_RETURN_IF_ERROR(results.add(question->line, {{"right", right}}));
  }
}

// A window of `batch` questions with the engine; the oldest leaves first.
class Interview {
 public:
  Interview(ChatModel& model, const EvalOptions& options, ResultsFile& results, Scores& scores, Progress& progress)
      : model_(model), options_(options), results_(results), scores_(scores), progress_(progress) {}
  ~Interview() {  // callbacks refer to what is in flight
    for (const auto& asked : window_) model_.cancel(asked->id);
    std::unique_lock lock(mutex_);
    for (const auto& asked : window_) changed_.wait(lock, [&] { return asked->completion.has_value(); });
  }
  Interview(const Interview&) = delete;
  Interview& operator=(const Interview&) = delete;

  Status run(QuestionStream& stream, const CancelFlag& cancel) {
    bool more = true;
    while (more || !window_.empty()) {
      if (cancel.requested()) return stopped_after(scores_);
      while (more && window_.size() < static_cast<std::size_t>(options_.batch)) {
        HADAL_ASSIGN(std::optional<QuestionStream::Question> question, stream.next());
        more = question.has_value();
        if (more) HADAL_RETURN_IF_ERROR(ask(std::move(*question)));
      }
      if (!window_.empty()) HADAL_RETURN_IF_ERROR(take_oldest());
    }
    return Done{};
  }

 private:
  struct Asked {
    QuestionStream::Question question;
    SequenceId id{};
    std::optional<Completion> completion;  // behind mutex_
  };

  Status ask(QuestionStream::Question question) {
    auto asked = std::make_unique<Asked>();
    asked->question = std::move(question);
    GenerationRequest request;
    request.messages = {{.role = "user", .content = asked->question.item.question, .reasoning_content = {}}};
    request.thinking = options_.thinking;
    request.sampling = options_.sampling.over(model_.default_sampling());
    request.max_tokens = options_.max_tokens;
    request.on_done = [this, to = asked.get()](const Completion& completion) {
      const std::lock_guard lock(mutex_);
      to->completion = completion;
      changed_.notify_one();
    };
    const auto id = model_.submit(std::move(request));
    if (id.ok()) {
      asked->id = *id;
    } else if (id.error().message.starts_with(kPromptTooLong)) {
      ++scores_.too_long;
      asked->completion.emplace();
    } else {
      return Error{id.error().kind, asked->question.where + ": " + id.error().message};
    }
    window_.push_back(std::move(asked));
    return Done{};
  }

  // Once it is answered; otherwise after a while.
  Status take_oldest() {
    Asked& asked = *window_.front();
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_for(lock, kPollInterval, [&] { return asked.completion.has_value(); })) return Done{};
    }
    const Completion& completion = *asked.completion;
    if (completion.error) return *completion.error;
    scores_.completion_tokens += completion.usage.completion_tokens;
    scores_.cut_short += completion.finish_reason == FinishReason::length;
    HADAL_ASSIGN(const bool right, judge_item(asked.question, completion.text, scores_));
    HADAL_RETURN_IF_ERROR(results_.add(
        asked.question.line, {{"output", completion.text}, {"reasoning", completion.reasoning}, {"right", right}}));
    progress_.update(static_cast<std::uint64_t>(scores_.all.n),
                     fmt::format("{:.1f}% right", 100 * scores_.all.share()));
    window_.pop_front();
    return Done{};
  }

  ChatModel& model_;
  const EvalOptions& options_;
  ResultsFile& results_;
  Scores& scores_;
  Progress& progress_;
  std::deque<std::unique_ptr<Asked>> window_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

Json scores_json(const Scores& scores) {
  const auto table = [](const std::map<std::string, Score>& of) {
    Json out = Json::object();
    for (const auto& [name, score] : of) out[name] = {{"n", score.n}, {"right", score.right}};
    return out;
  };
  return {{"tasks", table(scores.tasks)},  {"languages", table(scores.languages)},
          {"mean", scores.mean()},         {"n", scores.all.n},
          {"right", scores.all.right},     {"completion_tokens", scores.completion_tokens},
          {"cut_short", scores.cut_short}, {"too_long", scores.too_long}};
}

void print_scores(const Scores& scores) {
  const auto table = [](const char* title, const std::map<std::string, Score>& of) {
    if (of.empty()) return;
    write_out(fmt::format("{:<26} {:>6} {:>6} {:>7}\n", title, "n", "right", "%"));
    for (const auto& [name, score] : of)
      write_out(
          fmt::format("  {:<24} {:>6} {:>6} {:>7.1f}\n", printable(name), score.n, score.right, 100 * score.share()));
  };
  table("task", scores.tasks);
  table("language of word problems", scores.languages);
  write_out(fmt::format("{:<26} {:>6} {:>6} {:>7.1f}  (mean over tasks)\n", "in all", scores.all.n, scores.all.right,
                        100 * scores.mean()));
  if (scores.cut_short > 0)
    write_out(fmt::format("{} answers were cut short by --max-tokens or the context\n", scores.cut_short));
  if (scores.too_long > 0)
    write_out(fmt::format("{} questions do not fit into the context, and count as wrong\n", scores.too_long));
}

bool is_task_file(const std::string& name) {
  return name.ends_with(".jsonl") || name.ends_with(".jsonl.gz");
}

Status run_eval(const EvalOptions& options) {
  std::vector<std::string> files = options.model_and_files;
  std::string model_name = kBuiltInModel;
  if (!options.answers && !is_task_file(files.front())) {
    model_name = files.front();
    files.erase(files.begin());
  }
  if (files.empty())
    return Error{ErrorKind::invalid, fmt::format("eval: expected a file of questions (.jsonl or .jsonl.gz), found {}",
                                                 options.model_and_files.front())};
  HADAL_ASSIGN(const std::uint64_t total, QuestionStream::count(files, options.limit));
  if (total == 0) return Error{ErrorKind::invalid, fmt::format("{}: expected questions, found none", files.front())};

  CancelFlag cancel;
  const InterruptGuard guard(cancel);
  QuestionStream stream(files, options.limit);
  HADAL_ASSIGN(ResultsFile results, ResultsFile::create(options.out));
  Scores scores;
  if (options.answers) {
    HADAL_RETURN_IF_ERROR(judge_given_answers(stream, results, scores, cancel));
  } else {
    HADAL_ASSIGN(const std::unique_ptr<ChatModel> model,
                 ChatModel::open(model_name, {.exact = options.compute.exact,
                                              .threads = options.compute.threads,
                                              .max_sequences = options.batch,
                                              .format = options.format}));
    Progress progress(ProgressSink::to(stderr), "eval", total);
    Interview interview(*model, options, results, scores, progress);
    HADAL_RETURN_IF_ERROR(interview.run(stream, cancel));
  }
  HADAL_RETURN_IF_ERROR(results.commit());
  if (options.json)
    write_out(scores_json(scores).dump() + "\n");
  else
    print_scores(scores);
  return Done{};
}

}  // namespace

void add_eval_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand("eval", "Ask a model questions and judge its answers");
  command->footer(kExamples);
  command
      ->add_option("FILES", options->model_and_files,
                   "[MODEL] FILE...: questions with checkable answers; before them a directory, a .gguf file, an id in "
                   "the Hugging Face cache or a built-in name, left out: abyss")
      ->required();
  command->add_option("--limit", options->limit, "At most so many questions of each file")->check(whole_number(1));
  command->add_option("--batch", options->batch, "Questions at the same time")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--max-tokens", options->max_tokens, "Of an answer with its reasoning; left out: the context")
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--out", options->out, "RESULTS.jsonl: each line with `output`, `reasoning` and `right`");
  command->add_flag("--answers", options->answers, "Judge `answer_given` of each line; no model is asked");
  command->add_flag("--json", options->json, "One JSON object: tasks, languages, mean");
  add_format_option(*command, options->format);
  add_think_option(*command, options->thinking);
  add_sampling_options(*command, options->sampling);
  add_compute_options(*command, options->compute);
  command->callback([options, &result] { result.status = run_eval(*options); });
}

}  // namespace hadal
