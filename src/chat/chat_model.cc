// ChatModel over an Engine: one thread steps it while there is work; submit() and cancel() leave notes for that thread.
//
// What is shared with callers (notes, counts) is behind one mutex, held for moments. Jobs and the engine belong to the
// engine thread alone.
#include "chat/chat_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <new>
#include <random>
#include <span>
#include <system_error>
#include <thread>
#include <utility>

#include "base/free_memory.h"
#include "chat/answer_stream.h"
#include "chat/cache_plan.h"
#include "chat/generation_config.h"
#include "chat/model_files.h"
#include "chat/tool_plan.h"
#include "engine/engine.h"
#include "text/utf8.h"

namespace hadal {
namespace {

constexpr int kBatchTokens = 512;  // rows of one step: long prompts pass in several, and answers go on between them

struct Job {
  SequenceId id;  // the caller's
  EngineRequest engine_request;
  AnswerStream::Options stream_options;
  std::function<void(const Delta&)> on_delta;
  std::function<void(const Completion&)> on_done;

  SequenceId engine_id{};
  std::optional<AnswerStream> stream;
  Completion completion;  // what is known of it so far
  SteadyClock::time_point submitted = SteadyClock::now();
};

int tokens_of(const Job& job) {
  return job.completion.usage.prompt_tokens + job.completion.usage.completion_tokens;
}

std::uint64_t random_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

class EngineChatModel final : public ChatModel {
 public:
  EngineChatModel(TextModel text, WeightModel weights, GenerationConfig defaults, std::unique_ptr<Engine> engine);
  ~EngineChatModel() override;

  Result<SequenceId> submit(GenerationRequest request) override;
  void cancel(SequenceId id) override;
  Result<Completion> generate(GenerationRequest request) override;
  EngineStats stats() const override;

  const ModelConfig& config() const override { return weights_.config(); }
  const Tokenizer& tokenizer() const override { return text_.tokenizer; }
  const std::string& name() const override { return text_.location.name; }
  SamplingOptions default_sampling() const override { return defaults_.sampling; }
  int context_tokens() const override { return engine_->limits().context_tokens; }
  int threads() const override { return weights_.pool->threads(); }

 private:
  // On the callers' threads.
  Result<std::unique_ptr<Job>> make_job(GenerationRequest request) const;
  Result<std::vector<TokenId>> prompt_ids(const GenerationRequest& request, Job& job) const;

  // On the engine thread.
  void run();
  void start(std::unique_ptr<Job> job);
  void stop(SequenceId id);
  void step();
  void give_up(std::map<SequenceId, std::unique_ptr<Job>>::iterator job);
  void give_up_longest();
  void deliver(const StepOutput& output);
  void finish(std::map<SequenceId, std::unique_ptr<Job>>::iterator job, FinishReason reason, const Sequence* sequence);
  void publish_counts();

  const TextModel text_;
  const WeightModel weights_;
  const GenerationConfig defaults_;
  const std::unique_ptr<Engine> engine_;
  std::map<SequenceId, std::unique_ptr<Job>> jobs_;  // by the engine's id

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Job>> submitted_;
  std::vector<SequenceId> cancelled_;
  EngineStats stats_;
  std::uint64_t next_id_ = 1;
  bool closing_ = false;

  std::thread thread_;  // last: it uses all of the above
};

EngineChatModel::EngineChatModel(TextModel text, WeightModel weights, GenerationConfig defaults,
                                 std::unique_ptr<Engine> engine)
    : text_(std::move(text)), weights_(std::move(weights)), defaults_(std::move(defaults)), engine_(std::move(engine)) {
  publish_counts();
  thread_ = std::thread([this] { run(); });
}

EngineChatModel::~EngineChatModel() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

Result<SequenceId> EngineChatModel::submit(GenerationRequest request) {
  HADAL_ASSIGN(std::unique_ptr<Job> job, make_job(std::move(request)));
  SequenceId id;
  {
    const std::lock_guard lock(mutex_);
    id = job->id = SequenceId{next_id_++};
    submitted_.push_back(std::move(job));
    ++stats_.requests;
  }
  wake_.notify_one();
  return id;
}

Result<std::unique_ptr<Job>> EngineChatModel::make_job(GenerationRequest request) const {
  HADAL_RETURN_IF_ERROR(check_sampling(request.sampling));
  if (request.max_tokens < 0)
    return Error{ErrorKind::invalid, fmt::format("max_tokens: expected 0 or more, found {}", request.max_tokens)};
  for (std::size_t i = 0; i < request.stop.size(); ++i)  // a part of a character would cut the answer inside one
    HADAL_RETURN_IF_ERROR(check_utf8(fmt::format("stop {}", i), request.stop[i]));
  auto job = std::make_unique<Job>();
  EngineRequest& asked = job->engine_request;
  HADAL_ASSIGN(asked.prompt, prompt_ids(request, *job));
  const int tokens = static_cast<int>(asked.prompt.size());
  if (tokens == 0) return Error{ErrorKind::invalid, "prompt: expected some text, found none"};
  if (tokens >= context_tokens())
    return Error{ErrorKind::invalid,
                 fmt::format("{}{} tokens; the context holds {}", kPromptTooLong, tokens, context_tokens())};
  asked.holder = request.holder;
  const SamplingOptions& sampling = request.sampling;
  asked.sampling = {.temperature = sampling.temperature,
                    .top_k = sampling.top_k,
                    .top_p = sampling.top_p,
                    .min_p = sampling.min_p,
                    .seed = sampling.seed ? *sampling.seed : random_seed()};
  asked.max_tokens = request.max_tokens;
  asked.stop_tokens = config().eos_token_ids;
  const auto also_stop = [&](const std::vector<TokenId>& more) {
    asked.stop_tokens.insert(asked.stop_tokens.end(), more.begin(), more.end());
  };
  also_stop(defaults_.eos_token_ids);
  if (text_.format) also_stop(stop_token_ids(*text_.format, text_.tokenizer));
  job->stream_options.stop = std::move(request.stop);
  job->on_delta = std::move(request.on_delta);
  job->on_done = std::move(request.on_done);
  job->completion.usage.prompt_tokens = tokens;
  return job;
}

// Also decides how the answer is to be read.
Result<std::vector<TokenId>> EngineChatModel::prompt_ids(const GenerationRequest& request, Job& job) const {
  if (request.raw_prompt) {
    HADAL_RETURN_IF_ERROR(check_utf8("prompt", *request.raw_prompt));
    job.stream_options.control_tokens = AnswerStream::Options::ControlTokens::write;
    std::vector<TokenId> ids = text_.tokenizer.encode(*request.raw_prompt, SpecialTokens::parse);
    if (const auto bos = text_.tokenizer.bos(); bos && text_.tokenizer.adds_bos()) ids.insert(ids.begin(), *bos);
    return ids;
  }
  if (!text_.format) return Error{ErrorKind::unsupported, text_.format_error};
  if (request.messages.empty()) return Error{ErrorKind::invalid, "messages: expected at least one, found none"};
  for (std::size_t i = 0; i < request.messages.size(); ++i)
    HADAL_RETURN_IF_ERROR(check_utf8(fmt::format("message {}", i), request.messages[i].content));
  HADAL_ASSIGN(ToolPlan tools, plan_tools(request, text_));
  job.stream_options.calls = tools.calls;
  HADAL_ASSIGN(const RenderedPrompt rendered,
               text_.format->render(request.messages, {.thinking = request.thinking, .tools = std::move(tools.shown)}));
  job.stream_options.start =
      rendered.reasoning_open ? ReasoningSplitter::Start::reasoning : ReasoningSplitter::Start::undecided;
  return text_.tokenizer.encode(rendered.prompt);
}

void EngineChatModel::cancel(SequenceId id) {
  {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
  }
  wake_.notify_one();
}

Result<Completion> EngineChatModel::generate(GenerationRequest request) {
  std::promise<Completion> promise;
  auto on_done = std::move(request.on_done);
  request.on_done = [&promise, on_done = std::move(on_done)](const Completion& completion) {
    if (on_done) on_done(completion);
    promise.set_value(completion);
  };
  auto future = promise.get_future();
  const auto id = submit(std::move(request));
  if (!id.ok()) return id.error();
  return future.get();
}

EngineStats EngineChatModel::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.waiting_sequences += static_cast<int>(submitted_.size());
  return stats;
}

void EngineChatModel::run() {
  for (;;) {
    std::vector<std::unique_ptr<Job>> submitted;
    std::vector<SequenceId> cancelled;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return closing_ || !submitted_.empty() || !cancelled_.empty() || !engine_->idle(); });
      submitted.swap(submitted_);
      cancelled.swap(cancelled_);
      if (closing_)
        for (const auto& [engine_id, job] : jobs_) cancelled.push_back(job->id);
      if (closing_)
        for (const auto& job : submitted) cancelled.push_back(job->id);
    }
    for (auto& job : submitted) start(std::move(job));
    for (const SequenceId id : cancelled) stop(id);
    publish_counts();
    if (engine_->idle()) {
      const std::lock_guard lock(mutex_);
      if (closing_ && submitted_.empty()) return;
      continue;
    }
    step();
    publish_counts();
  }
}

void EngineChatModel::step() {
  std::span<const StepOutput> outputs;
  try {
    outputs = engine_->step();
  } catch (const std::bad_alloc&) {
    return give_up_longest();
  }
  for (const StepOutput& output : outputs) {
    try {
      deliver(output);
    } catch (const std::bad_alloc&) {
      give_up(jobs_.find(output.id));
    }
  }
}

void EngineChatModel::give_up(std::map<SequenceId, std::unique_ptr<Job>>::iterator it) {
  if (it == jobs_.end()) return;
  Job& job = *it->second;
  job.completion.error =
      Error{ErrorKind::out_of_memory, fmt::format("{}: {} tokens do not fit into memory", name(), tokens_of(job))};
  finish(it, FinishReason::error, nullptr);
}

// Room for its positions is what a step lacked; the others go on without it.
void EngineChatModel::give_up_longest() {
  give_up(std::max_element(jobs_.begin(), jobs_.end(),
                           [](const auto& a, const auto& b) { return tokens_of(*a.second) < tokens_of(*b.second); }));
}

void EngineChatModel::start(std::unique_ptr<Job> job) {
  job->stream.emplace(text_.tokenizer, std::move(job->stream_options));
  const auto id = [&]() -> Result<SequenceId> {
    try {
      return engine_->add(std::move(job->engine_request));
    } catch (const std::bad_alloc&) {
      return Error{ErrorKind::out_of_memory, fmt::format("{}: a prompt does not fit into memory", name())};
    }
  }();
  if (id.ok()) {
    job->engine_id = *id;
    jobs_.emplace(*id, std::move(job));
    return;
  }
  job->completion.finish_reason = FinishReason::error;
  job->completion.error = id.error();
  if (job->on_done) job->on_done(job->completion);
}

void EngineChatModel::stop(SequenceId id) {
  const auto it = std::find_if(jobs_.begin(), jobs_.end(), [&](const auto& entry) { return entry.second->id == id; });
  if (it != jobs_.end()) finish(it, FinishReason::cancelled, nullptr);
}

void EngineChatModel::deliver(const StepOutput& output) {
  const auto it = jobs_.find(output.id);
  if (it == jobs_.end()) return;
  Job& job = *it->second;
  if (output.finish == Finish::failed) {
    job.completion.error =
        Error{ErrorKind::invalid, fmt::format("{}: the model computed logits that are no numbers", name())};
    return finish(it, FinishReason::error, output.sequence);
  }
  Usage& usage = job.completion.usage;
  ++usage.completion_tokens;
  usage.cached_prompt_tokens = output.sequence->cached_prompt_tokens;
  if (output.finish == Finish::stop) return finish(it, FinishReason::stop, output.sequence);
  const Delta delta = job.stream->push(output.token);
  usage.reasoning_tokens = job.stream->reasoning_tokens();
  if (job.on_delta && !delta.empty()) job.on_delta(delta);
  if (job.stream->stopped()) return finish(it, FinishReason::stop, output.sequence);
  if (output.finish == Finish::length) finish(it, FinishReason::length, output.sequence);
}

Timings timings_of(const SequenceTimes& times, SteadyClock::time_point submitted, SteadyClock::time_point now) {
  const auto reached = [](SteadyClock::time_point t) { return t != SteadyClock::time_point{}; };
  Timings timings;
  timings.queued = (reached(times.admitted) ? times.admitted : now) - submitted;
  if (reached(times.admitted))
    timings.prefill = (reached(times.first_token) ? times.first_token : now) - times.admitted;
  if (reached(times.first_token)) timings.decode = now - times.first_token;
  return timings;
}

// `sequence`: of the step that ended it; null when it was cancelled or given up.
void EngineChatModel::finish(std::map<SequenceId, std::unique_ptr<Job>>::iterator it, FinishReason reason,
                             const Sequence* sequence) {
  const std::unique_ptr<Job> job = std::move(it->second);
  jobs_.erase(it);
  Completion& completion = job->completion;
  SequenceTimes times;
  if (sequence) times = sequence->times;
  // Of a stop string, a cancel or too little memory; `sequence` is gone after this.
  if (const auto aborted = engine_->abort(job->engine_id)) times = *aborted;
  completion.timings = timings_of(times, job->submitted, SteadyClock::now());

  const Delta rest = job->stream->finish();
  if (reason == FinishReason::length && job->stream->stopped()) reason = FinishReason::stop;  // in what was held back
  if (job->on_delta && !rest.empty()) job->on_delta(rest);
  completion.reasoning = job->stream->whole().reasoning;
  completion.text = job->stream->whole().text;
  completion.tool_calls = job->stream->whole().tool_calls;
  const bool calls = reason == FinishReason::stop && !completion.tool_calls.empty();
  completion.finish_reason = calls ? FinishReason::tool_calls : reason;
  publish_counts();  // whoever hears that it is done finds its pages free
  if (job->on_done) job->on_done(completion);
}

void EngineChatModel::publish_counts() {
  const EngineCounts counts = engine_->counts();
  const std::lock_guard lock(mutex_);
  stats_.active_sequences = counts.running;
  stats_.waiting_sequences = counts.waiting;
  stats_.pages_total = counts.pages;
  stats_.pages_free = counts.free_pages;
  stats_.pages_held = counts.held_pages;
  stats_.prompt_tokens = counts.prompt_tokens;
  stats_.cached_prompt_tokens = counts.cached_prompt_tokens;
  stats_.completion_tokens = counts.generated_tokens;
}

// Ids that the weights do not know would only be found in the middle of an answer.
Status check_vocabulary(const TextModel& text, const ModelConfig& config) {
  if (text.tokenizer.vocab_size() <= config.vocab_size) return Done{};
  return Error{ErrorKind::invalid, fmt::format("{}: the tokenizer has {} ids; config.json says vocab_size {}",
                                               text.location.name, text.tokenizer.vocab_size(), config.vocab_size)};
}

// What is free beside a mapped file, whose pages count as free although each token wants them.
std::uint64_t memory_for_cache(const WeightModel& weights) {
  const std::uint64_t available = available_memory_bytes();
  const std::uint64_t mapped = is_gguf(weights.location.path) ? weights.checkpoint.file_bytes : 0;
  return available - std::min(available, mapped);
}

}  // namespace

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::tool_calls:
      return "tool_calls";
    case FinishReason::cancelled:
      return "cancelled";
    case FinishReason::error:
      return "error";
  }
  return "error";
}

Result<std::unique_ptr<ChatModel>> ChatModel::open(const std::string& model, const OpenOptions& options) {
  HADAL_ASSIGN(TextModel text, open_text(model, options.format));
  if (options.only_chats && text.format == nullptr)
    return Error{ErrorKind::unsupported, text.format_error + " with --format"};
  HADAL_ASSIGN(GenerationConfig defaults, read_generation_config(text.location.path, card_sampling(text.format)));
  HADAL_ASSIGN(WeightModel weights,
               open_weights(model, options.exact ? Arithmetic::exact : Arithmetic::fast, options.threads));
  HADAL_RETURN_IF_ERROR(check_vocabulary(text, weights.config()));
  HADAL_ASSIGN(const CachePlan plan, plan_cache(weights.transformer->latent_layout(),
                                                {.context_tokens = options.context_tokens,
                                                 .model_context_tokens = weights.config().max_position_embeddings,
                                                 .max_sequences = options.max_sequences,
                                                 .available_bytes = memory_for_cache(weights)}));
  HADAL_ASSIGN(std::unique_ptr<Engine> engine, Engine::create(*weights.forward, {.max_sequences = options.max_sequences,
                                                                                 .batch_tokens = kBatchTokens,
                                                                                 .context_tokens = plan.context_tokens,
                                                                                 .pages = plan.pages}));
  try {
    return std::unique_ptr<ChatModel>(
        new EngineChatModel(std::move(text), std::move(weights), std::move(defaults), std::move(engine)));
  } catch (const std::system_error& error) {
    return Error{ErrorKind::io, fmt::format("{}: the engine's thread could not be started: {}", model, error.what())};
  }
}

}  // namespace hadal
