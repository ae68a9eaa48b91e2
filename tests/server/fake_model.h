// A ChatModel without a model: it thinks and answers from a script, at a set pace.
//
// It keeps the contract of chat_model.h (callbacks from one thread of its own, on_done
// exactly once, errors before anything is queued) and counts sequences and pages, so
// that the server can be tested with nothing trained. Not a stand-in for the engine's
// own tests.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "chat/chat_model.h"
#include "spec/model_config.h"

namespace hadal {

struct FakeAnswer {  // another answer, to questions with a certain word in them
  std::string asked;
  std::vector<std::string> answer{};
  std::size_t more_words = 0;
  bool fails = false;
  std::vector<ToolCallDelta> calls{};  // after the words, a token each
};

struct FakeScript {
  std::vector<std::string> reasoning{"The ", "user ", "asks ", "something. ", "Let ", "me ", "see."};  // a token each
  std::vector<std::string> answer{"The ", "answer ", "is ", "**42**."};
  std::chrono::microseconds pace{0};  // between two tokens of every sequence
  std::size_t more_words = 0;         // so many times "word " after the answer
  int max_active = 8;
  int context_tokens = 4096;         // a prompt has one token a byte
  int pages = 1000;                  // each running sequence holds 4
  bool fails = false;                // after the reasoning
  std::vector<FakeAnswer> others{};  // the first whose word is in the last message is given instead
};

class FakeModel final : public ChatModel {
 public:
  explicit FakeModel(FakeScript script = {});
  ~FakeModel() override;

  Result<SequenceId> submit(GenerationRequest request) override;
  void cancel(SequenceId id) override;
  Result<Completion> generate(GenerationRequest request) override;
  EngineStats stats() const override;
  const ModelConfig& config() const override { return config_; }
  const Tokenizer& tokenizer() const override;  // there is none: checked
  const std::string& name() const override { return name_; }
  SamplingOptions default_sampling() const override { return {}; }
  int context_tokens() const override { return script_.context_tokens; }
  int threads() const override { return 1; }

  GenerationRequest last_request() const;  // as the server made it
  int cancelled() const;

 private:
  struct Sequence {
    GenerationRequest request;
    Completion completion;
    std::vector<std::string> reasoning{};
    FakeAnswer script{};
    std::chrono::steady_clock::time_point submitted = std::chrono::steady_clock::now(), first_token{};
    std::size_t next = 0;
    bool cancelled = false;
  };

  FakeAnswer answer_to(const GenerationRequest& request) const;
  void run();
  bool step(Sequence& sequence);  // false: it is done

  const FakeScript script_;
  const std::string name_ = "fake";
  const ModelConfig config_{};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, Sequence> active_;
  std::deque<std::pair<std::uint64_t, Sequence>> waiting_;
  GenerationRequest last_request_;
  EngineStats totals_;
  std::uint64_t last_id_ = 0;
  int cancelled_ = 0;
  bool stopping_ = false;
  std::jthread thread_;  // last: it uses the rest
};

}  // namespace hadal
