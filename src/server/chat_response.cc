#include "server/chat_response.h"

#include <fmt/format.h>

#include <chrono>
#include <random>

#include "base/json.h"

namespace hadal {
namespace {

using Object = nlohmann::ordered_json;  // people read these too: id first, usage last

template <class AnyJson>
std::string compact(const AnyJson& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, AnyJson::error_handler_t::replace);
}

double milliseconds(std::chrono::nanoseconds time) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(time).count()) / 1000;
}

Object usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_prompt_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          // The same two numbers under DeepSeek's names.
          {"prompt_cache_hit_tokens", usage.cached_prompt_tokens},
          {"prompt_cache_miss_tokens", usage.prompt_tokens - usage.cached_prompt_tokens}};
}

// Not part of OpenAI's API; clients ignore it.
Object timings_json(const Timings& timings) {
  return {{"queued_ms", milliseconds(timings.queued)},
          {"prefill_ms", milliseconds(timings.prefill)},
          {"decode_ms", milliseconds(timings.decode)}};
}

// Prompts carry no ids of calls, so any will do that differ: the answer's, and the place in it.
std::string call_id(const AnswerId& id, int index) {
  const std::size_t dash = id.id.find('-');
  return fmt::format("call_{}_{}", dash == std::string::npos ? id.id : id.id.substr(dash + 1), index);
}

Object call_json(const AnswerId& id, const ToolCallDelta& call) {
  return {{"id", call_id(id, call.index)},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

// The first delta of a call names it; the others add to its arguments.
Object call_delta_json(const AnswerId& id, const ToolCallDelta& call) {
  Object json = {{"index", call.index}};
  if (call.name.empty())
    json["function"] = {{"arguments", call.arguments}};
  else
    json.update(call_json(id, call));
  return json;
}

const char* api_finish_reason(FinishReason reason) {
  if (reason == FinishReason::tool_calls) return "tool_calls";
  return reason == FinishReason::length ? "length" : "stop";
}

Object head(const AnswerId& id, const char* object) {
  return {{"id", id.id},
          {"object", object},
          {"created", id.created},
          {"model", id.model},
          {"system_fingerprint", "hadal-" HADAL_VERSION}};
}

Object chunk(const AnswerId& id, Object delta, Object finish_reason, UsageChunk usage) {
  Object json = head(id, "chat.completion.chunk");
  json["choices"] = Object::array({{{"index", 0},
                                    {"delta", std::move(delta)},
                                    {"logprobs", nullptr},
                                    {"finish_reason", std::move(finish_reason)}}});
  if (usage == UsageChunk::yes) json["usage"] = nullptr;
  return json;
}

}  // namespace

AnswerId new_answer_id(const std::string& model) {
  thread_local std::random_device entropy;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {.id = fmt::format("chatcmpl-{:08x}{:08x}{:08x}", entropy(), entropy(), entropy()),
          .model = model,
          .created = std::chrono::duration_cast<std::chrono::seconds>(now).count()};
}

bool is_answer(const Completion& completion) {
  return completion.finish_reason == FinishReason::stop || completion.finish_reason == FinishReason::length ||
         completion.finish_reason == FinishReason::tool_calls;
}

ApiError error_of(const Completion& completion) {
  if (completion.error) return from_generation_error(*completion.error);
  if (completion.finish_reason == FinishReason::cancelled)
    return {.status = 503,
            .message = "the answer was cancelled before its end: the server is shutting down",
            .type = "server_error",
            .code = "cancelled"};
  return {.status = 500, .message = "the answer failed", .type = "server_error", .code = "internal_error"};
}

std::string completion_json(const AnswerId& id, const Completion& completion) {
  Object message = {{"role", "assistant"}, {"content", completion.text}};
  if (completion.text.empty() && !completion.tool_calls.empty()) message["content"] = nullptr;
  if (!completion.reasoning.empty()) message["reasoning_content"] = completion.reasoning;
  for (const ToolCallDelta& call : completion.tool_calls) message["tool_calls"].push_back(call_json(id, call));
  Object json = head(id, "chat.completion");
  json["choices"] = Object::array({{{"index", 0},
                                    {"message", std::move(message)},
                                    {"logprobs", nullptr},
                                    {"finish_reason", api_finish_reason(completion.finish_reason)}}});
  json["usage"] = usage_json(completion.usage);
  json["timings"] = timings_json(completion.timings);
  return compact(json);
}

std::string sse_event(std::string_view json) {
  return fmt::format("data: {}\n\n", json);
}

std::string ChunkWriter::start() const {
  return sse_event(compact(chunk(id_, {{"role", "assistant"}, {"content", ""}}, nullptr, usage_)));
}

std::string ChunkWriter::delta(const Delta& delta) const {
  std::string events;
  if (!delta.reasoning.empty())
    events += sse_event(compact(chunk(id_, {{"reasoning_content", delta.reasoning}}, nullptr, usage_)));
  if (!delta.text.empty()) events += sse_event(compact(chunk(id_, {{"content", delta.text}}, nullptr, usage_)));
  for (const ToolCallDelta& call : delta.tool_calls)
    events +=
        sse_event(compact(chunk(id_, {{"tool_calls", Object::array({call_delta_json(id_, call)})}}, nullptr, usage_)));
  return events;
}

std::string ChunkWriter::finish(const Completion& completion) const {
  if (!is_answer(completion)) return sse_event(error_json(error_of(completion)));
  Object last = chunk(id_, Object::object(), api_finish_reason(completion.finish_reason), usage_);
  last["timings"] = timings_json(completion.timings);
  std::string events = sse_event(compact(last));
  if (usage_ == UsageChunk::yes) {
    Object json = head(id_, "chat.completion.chunk");
    json["choices"] = Object::array();
    json["usage"] = usage_json(completion.usage);
    events += sse_event(compact(json));
  }
  return events + sse_event("[DONE]");
}

}  // namespace hadal
