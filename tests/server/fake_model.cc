#include "server/fake_model.h"

#include <fmt/format.h>

#include <future>
#include <utility>

namespace hadal {
namespace {

constexpr int kPagesEach = 4;

int prompt_tokens_of(const GenerationRequest& request) {
  std::size_t bytes = request.raw_prompt ? request.raw_prompt->size() : 0;
  for (const ChatMessage& message : request.messages) bytes += message.content.size() + message.role.size();
  return static_cast<int>(bytes);
}

}  // namespace

FakeModel::FakeModel(FakeScript script) : script_(std::move(script)), thread_([this] { run(); }) {}

FakeModel::~FakeModel() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

const Tokenizer& FakeModel::tokenizer() const {
  HADAL_CHECK(false && "the server has no business with the tokenizer");
  std::abort();
}

Result<SequenceId> FakeModel::submit(GenerationRequest request) {
  const int prompt_tokens = prompt_tokens_of(request);
  if (prompt_tokens >= script_.context_tokens)
    return Error{ErrorKind::invalid,
                 fmt::format("prompt has {} tokens; the context holds {}", prompt_tokens, script_.context_tokens)};
  const std::lock_guard lock(mutex_);
  Sequence sequence{.request = std::move(request), .completion = {}};
  sequence.script = answer_to(sequence.request);
  if (sequence.request.thinking.value_or(true)) sequence.reasoning = script_.reasoning;
  sequence.completion.usage.prompt_tokens = prompt_tokens;
  sequence.completion.usage.cached_prompt_tokens = prompt_tokens / 2;
  last_request_ = sequence.request;
  waiting_.emplace_back(++last_id_, std::move(sequence));
  ++totals_.requests;
  changed_.notify_all();
  return SequenceId{last_id_};
}

FakeAnswer FakeModel::answer_to(const GenerationRequest& request) const {
  if (!request.messages.empty())
    for (const FakeAnswer& other : script_.others)
      if (request.messages.back().content.find(other.asked) != std::string::npos) return other;
  return {.asked = {}, .answer = script_.answer, .more_words = script_.more_words, .fails = script_.fails, .calls = {}};
}

void FakeModel::cancel(SequenceId id) {
  const std::lock_guard lock(mutex_);
  if (const auto it = active_.find(index(id)); it != active_.end()) it->second.cancelled = true;
  for (auto& [waiting_id, sequence] : waiting_)
    if (waiting_id == index(id)) sequence.cancelled = true;
  changed_.notify_all();
}

Result<Completion> FakeModel::generate(GenerationRequest request) {
  std::promise<Completion> done;
  request.on_done = [&](const Completion& completion) { done.set_value(completion); };
  HADAL_RETURN_IF_ERROR(submit(std::move(request)));
  return done.get_future().get();
}

EngineStats FakeModel::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = totals_;
  stats.active_sequences = static_cast<int>(active_.size());
  stats.waiting_sequences = static_cast<int>(waiting_.size());
  stats.pages_total = script_.pages;
  stats.pages_held = kPagesEach * stats.active_sequences;
  stats.pages_free = stats.pages_total - stats.pages_held;
  return stats;
}

GenerationRequest FakeModel::last_request() const {
  const std::lock_guard lock(mutex_);
  return last_request_;
}

int FakeModel::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

// One token of a sequence, as an engine step would make it. Called with the lock held, as an unkind engine might:
// a server that waited for the network, or called back, in a callback would hang here.
bool FakeModel::step(Sequence& sequence) {
  Completion& completion = sequence.completion;
  const auto now = std::chrono::steady_clock::now();
  const auto end = [&](FinishReason reason) {
    completion.finish_reason = reason;
    if (completion.usage.completion_tokens > 0) {
      completion.timings.prefill = sequence.first_token - sequence.submitted;
      completion.timings.decode = now - sequence.first_token;
    }
    return false;
  };
  if (sequence.cancelled) return end(FinishReason::cancelled);
  const int limit = sequence.request.max_tokens;
  if (limit > 0 && completion.usage.completion_tokens >= limit) return end(FinishReason::length);

  Delta delta;
  if (sequence.next < sequence.reasoning.size()) {
    delta.reasoning = sequence.reasoning[sequence.next];
    ++completion.usage.reasoning_tokens;
  } else if (sequence.script.fails) {
    completion.error = Error{ErrorKind::io, "the fake model fails as it was told to"};
    return end(FinishReason::error);
  } else if (const std::size_t at = sequence.next - sequence.reasoning.size(); at < sequence.script.answer.size()) {
    delta.text = sequence.script.answer[at];
  } else if (at < sequence.script.answer.size() + sequence.script.more_words) {
    delta.text = "word ";
  } else if (const std::size_t call = at - sequence.script.answer.size() - sequence.script.more_words;
             call < sequence.script.calls.size()) {
    delta.tool_calls = {sequence.script.calls[call]};
  } else {
    return end(sequence.script.calls.empty() ? FinishReason::stop : FinishReason::tool_calls);
  }
  if (sequence.next++ == 0) sequence.first_token = now;
  ++completion.usage.completion_tokens;
  ++totals_.completion_tokens;
  for (const std::string& stop : sequence.request.stop)
    if (delta.text.find(stop) != std::string::npos) return end(FinishReason::stop);
  Delta whole{completion.reasoning, completion.text, std::move(completion.tool_calls)};
  whole.append(delta);
  completion.reasoning = std::move(whole.reasoning);
  completion.text = std::move(whole.text);
  completion.tool_calls = std::move(whole.tool_calls);
  if (sequence.request.on_delta) sequence.request.on_delta(delta);
  return true;
}

void FakeModel::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    while (!waiting_.empty() && static_cast<int>(active_.size()) < script_.max_active) {
      active_.insert(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    for (auto it = active_.begin(); it != active_.end();) {
      if (step(it->second)) {
        ++it;
        continue;
      }
      const Sequence done = std::move(it->second);
      it = active_.erase(it);  // first: who hears of the end finds the pages free
      if (done.cancelled) ++cancelled_;
      if (done.request.on_done) done.request.on_done(done.completion);
    }
    // A cancelled sequence that still waits must not wait for room.
    for (auto& [id, sequence] : waiting_) {
      if (!sequence.cancelled) continue;
      active_.emplace(id, std::move(sequence));
      sequence.cancelled = true;
    }
    std::erase_if(waiting_, [](const auto& entry) { return entry.second.cancelled; });
    if (active_.empty() && waiting_.empty()) {
      changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    } else if (script_.pace.count() > 0) {
      changed_.wait_for(lock, script_.pace, [this] { return stopping_; });
    } else {
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    }
  }
  for (auto& [id, sequence] : active_)
    if (sequence.request.on_done) sequence.request.on_done(sequence.completion);
}

}  // namespace hadal
