// A tokenizer out of GGUF keys: anything builds or is one clear error, and what builds gives text back whole.
#include <fuzzer/FuzzedDataProvider.h>

#include <cstdlib>

#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  static constexpr const char* kPre[] = {"deepseek-llm",     "deepseek-coder", "deepseek-v3",
                                         "deepseek-r1-qwen", "qwen2",          "llama-bpe",
                                         "smollm",           "kimi-k2",        ""};
  hadal::GgufVocabulary vocabulary;
  vocabulary.model = input.ConsumeIntegralInRange(0, 15) > 0 ? "gpt2" : input.ConsumeRandomLengthString(8);
  vocabulary.pre = kPre[input.ConsumeIntegralInRange<std::size_t>(0, std::size(kPre) - 1)];
  // The whole byte alphabet most of the time, so that text can be encoded; then tokens and merges of the input.
  std::vector<std::string> texts;
  if (input.ConsumeIntegralInRange(0, 7) > 0)
    for (int c = 33; c < 127; ++c) texts.emplace_back(1, static_cast<char>(c));
  const std::size_t tokens = texts.size() + input.ConsumeIntegralInRange<std::size_t>(0, 40);
  while (texts.size() < tokens) texts.push_back(input.ConsumeRandomLengthString(6));
  const std::size_t merges = input.ConsumeIntegralInRange<std::size_t>(0, 40);
  for (std::size_t i = 0; i < merges; ++i) {
    const auto pick = [&] {
      return tokens > 0 && input.ConsumeBool() ? texts[input.ConsumeIntegralInRange<std::size_t>(0, tokens - 1)]
                                               : input.ConsumeRandomLengthString(4);
    };
    const std::string left = pick();
    texts.push_back(left + (input.ConsumeIntegralInRange(0, 15) > 0 ? " " : "") + pick());
  }
  for (std::size_t i = 0; i < texts.size(); ++i)
    (i < tokens ? vocabulary.tokens : vocabulary.merges).push_back(texts[i]);
  if (input.ConsumeBool())
    for (std::size_t i = input.ConsumeIntegralInRange<std::size_t>(0, 1); i < tokens; ++i)
      vocabulary.token_types.push_back(input.ConsumeIntegralInRange<std::int64_t>(0, 7));
  if (input.ConsumeBool()) vocabulary.bos = input.ConsumeIntegral<std::int64_t>();
  if (input.ConsumeBool()) vocabulary.eos = input.ConsumeIntegralInRange<std::int64_t>(-1, 200);
  if (input.ConsumeBool()) vocabulary.add_bos = input.ConsumeBool();

  const auto tokenizer = hadal::Tokenizer::from_gguf(vocabulary, "fuzz.gguf");
  if (!tokenizer.ok()) {
    const std::string& message = tokenizer.error().message;
    if (message.empty() || message.size() > 2000 || message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const std::string text = input.ConsumeRemainingBytesAsString();
  for (const auto special : {hadal::SpecialTokens::plain, hadal::SpecialTokens::parse})
    for (const hadal::TokenId id : tokenizer->encode(text, special))
      if (hadal::index(id) < 0 || hadal::index(id) >= tokenizer->vocab_size() ||
          (special == hadal::SpecialTokens::plain && tokenizer->is_control(id)))
        std::abort();
  (void)tokenizer->decode(tokenizer->encode(text));
  return 0;
}
