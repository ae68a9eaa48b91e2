// Makes a tokenizer: learns the merges of a byte-level BPE from texts and writes tokenizer.json.
//
// The cutting is DeepSeek-V3's (MODELS.md 10.1) except that every digit stands alone, so that a small
// model sees numbers digit by digit. The vocabulary is: the special tokens (ids from 0), the 256 bytes,
// then one token a merge. The same texts in any order give the same tokenizer: counts decide, and of
// equal counts the pair of lower ids is merged first.
//
// What is written is read by Tokenizer and by Hugging Face's tokenizers. Threads: one trainer, one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/chat_format.h"

namespace hadal {

// DeepSeek's names, in the order of their ids here.
std::vector<std::string> deepseek_special_tokens();

struct BpeTrainerOptions {
  int vocab_size = 4096;                                                // special tokens and bytes included
  std::vector<std::string> special_tokens = deepseek_special_tokens();  // get ids 0, 1, ...; cut out of the texts
  int min_count = 2;                                                    // a pair seen less often is not merged
  int max_token_bytes = 24;                        // longer tokens are copies of the data, not words
  std::string chat_template{kDeepSeekR1Template};  // goes into tokenizer_config.json; "": none
  int model_max_length = 4096;
};

struct TrainedTokenizer {
  std::string tokenizer_json, tokenizer_config_json;
  int vocab_size = 0;  // less than asked for when the texts hold too few pairs
};

class BpeTrainer {
 public:
  // Error: a vocabulary too small for bytes and special tokens, or special tokens that are empty or given twice.
  static Result<BpeTrainer> create(BpeTrainerOptions options);
  BpeTrainer(BpeTrainer&&) noexcept;
  BpeTrainer& operator=(BpeTrainer&&) noexcept;
  ~BpeTrainer();

  void add(std::string_view text);  // counts its pieces; the text is not kept. Ill-formed UTF-8 counts as U+FFFD
  Result<TrainedTokenizer> train() const;

 private:
  struct State;
  explicit BpeTrainer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace hadal
