// Any bytes as the body of POST /v1/chat/completions: a request within its limits, or an error that can be sent.
//
// Read twice: as they are, and as a text in which a byte from 0x80 stands for a piece of JSON, so that the fuzzer need
// not find the field names letter by letter.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "server/chat_request.h"
#include "text/utf8.h"

namespace {

using namespace hadal;

constexpr int kContextTokens = 512;
constexpr std::size_t kMaxMessageBytes = 500;  // an error repeats little of what it refuses

void check_error(const ApiError& error) {
  HADAL_CHECK(!error.message.empty());
  HADAL_CHECK(error.message.size() <= kMaxMessageBytes);
  HADAL_CHECK(error.message.find('\n') == std::string::npos);
  HADAL_CHECK(error.status >= 400 && error.status < 500);
  const auto sent = parse_json(error_json(error), "error");
  HADAL_CHECK(sent.ok() && sent->at("error").at("message").is_string());
}

void check_request(const GenerationRequest& request) {
  HADAL_CHECK(!request.messages.empty());
  for (const ChatMessage& message : request.messages) {
    HADAL_CHECK(message.role == "system" || message.role == "user" || message.role == "assistant" ||
                message.role == "tool");
    if (message.tool_calls)
      for (const ToolCall& call : *message.tool_calls) HADAL_CHECK(!call.name.empty());
    HADAL_CHECK(valid_utf8_bytes(message.content) == message.content.size());
    HADAL_CHECK(valid_utf8_bytes(message.reasoning_content) == message.reasoning_content.size());
  }
  const SamplingOptions& sampling = request.sampling;
  HADAL_CHECK(sampling.temperature >= 0 && sampling.temperature <= 2);
  HADAL_CHECK(sampling.top_p >= 0 && sampling.top_p <= 1 && sampling.min_p >= 0 && sampling.min_p <= 1);
  HADAL_CHECK(sampling.top_k >= 0);
  HADAL_CHECK(request.max_tokens >= 0 && request.max_tokens < kContextTokens);
  HADAL_CHECK(request.stop.size() <= kMaxStopStrings);
  for (const std::string& stop : request.stop) HADAL_CHECK(!stop.empty());
  HADAL_CHECK(!request.tools || (request.tools->is_array() && !request.tools->items().empty()));
  HADAL_CHECK(!request.raw_prompt && !request.on_delta && !request.on_done);
}

void parse(std::string_view body) {
  static const ServedModel model{.name = "abyss", .sampling = {}, .context_tokens = kContextTokens};
  const auto result = parse_chat_request(body, model);
  if (const auto* error = std::get_if<ApiError>(&result)) return check_error(*error);
  check_request(std::get<ChatRequest>(result).generation);
}

// 0x80 to 0xBF: a field; from 0xC0: a value.
std::string spelled(std::string_view data) {
  static constexpr std::string_view kFields[] = {"messages", "role", "content", "type", "text", "reasoning_content",
                                                 "tool_calls", "tool_call_id", "function", "name", "arguments",
                                                 "parameters", "id", "prefix", "model", "temperature", "top_p", "top_k",
                                                 "min_p", "seed", "stream", "stream_options", "include_usage", "stop",
                                                 "max_tokens", "max_completion_tokens", "thinking", "reasoning_effort",
                                                 // Refused unless they ask for nothing, or ignored.
                                                 "n", "tools", "tool_choice", "logit_bias", "presence_penalty",
                                                 "top_logprobs", "logprobs", "modalities", "response_format", "user"};
  static constexpr std::string_view kValues[] = {
      "true", "false", "null", "0", "1", "-1", "0.5", "2147483647", "18446744073709551615", "-9223372036854775808",
      "1e308", "\"\"", "\"a\"", "\"\\ud83d\\udc1f\"", "\"\\ud800\"", "\"text\"", "\"none\"", "\"enabled\"", "\"abyss\"",
      "\"system\"", "\"user\"", "\"assistant\"", "\"tool\"",
      // Pieces.
      "[", "]", "{", "}", ",", "},{", "\xC3\xA9", "{\"type\":\"text\",\"text\":\"a\"}",
      "{\"role\":\"user\",\"content\":\"hi\"}",
      "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}",
      "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}",
      "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"r\"}"};
  std::string text;
  for (const char c : data) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80)
      text += c;
    else if (byte < 0xC0)
      text += '"' + std::string(kFields[(byte - 0x80) % std::size(kFields)]) + "\":";
    else
      text += kValues[(byte - 0xC0) % std::size(kValues)];
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  parse(body);
  const std::string text = spelled(body);
  parse(text);
  // Most texts are no whole object; so once more as the fields after a message.
  parse(R"({"messages":[{"role":"user","content":"hi"}],)" + text + "}");
  return 0;
}
