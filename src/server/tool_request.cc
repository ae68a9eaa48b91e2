#include "server/tool_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace hadal {
namespace {

constexpr std::size_t kMaxNameBytes = 64;  // as OpenAI and DeepSeek have it

bool is_function_name(std::string_view name) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  return !name.empty() && name.size() <= kMaxNameBytes && name.find_first_not_of(kLetters) == name.npos;
}

void read_tool(const Json& tool, const std::string& path, std::optional<ApiError>& error) {
  if (!tool.is_object()) {
    error = wrong_type(path, "an object with a function", tool);
    return;
  }
  Fields fields(tool, path + ".", error);
  std::string type = "function", name, description;
  fields.text("type", type);
  if (!error && type != "function")
    return fields.fail(
        wrong_value(path + ".type", "expected \"function\", found " + json_excerpt(Json(type)), "unsupported_value"));
  const Json* function = fields.find("function");
  if (error) return;
  if (function == nullptr)
    return fields.fail(wrong_value(path + ".function", "expected an object, found nothing", "missing_field"));
  if (!function->is_object()) return fields.fail(wrong_type(path + ".function", "an object", *function));
  Fields inner(*function, path + ".function.", error);
  if (!inner.text("name", name))
    return inner.fail(wrong_value(inner.name("name"), "expected a string, found nothing", "missing_field"));
  if (!is_function_name(name))
    return inner.fail(wrong_value(inner.name("name"), fmt::format("expected 1 to {} letters, digits, _ and -, found {}",
                                                                  kMaxNameBytes, json_excerpt(Json(name)))));
  inner.text("description", description);
  if (const Json* parameters = inner.find("parameters"); parameters != nullptr && !parameters->is_object())
    inner.fail(wrong_type(inner.name("parameters"), "an object, a JSON schema", *parameters));
}

void read_call(const Json& json, const std::string& path, std::optional<ApiError>& error, ToolCall& call) {
  if (!json.is_object()) {
    error = wrong_type(path, "an object with id and function", json);
    return;
  }
  Fields fields(json, path + ".", error);
  if (!fields.text("id", call.id))
    return fields.fail(wrong_value(path + ".id", "expected a string, found nothing", "missing_field"));
  const Json* function = fields.find("function");
  if (error) return;
  if (function == nullptr)
    return fields.fail(wrong_value(path + ".function", "expected an object, found nothing", "missing_field"));
  if (!function->is_object()) return fields.fail(wrong_type(path + ".function", "an object", *function));
  Fields inner(*function, path + ".function.", error);
  for (const auto& [field, into] : {std::pair("name", &call.name), std::pair("arguments", &call.arguments_text)})
    if (!inner.text(field, *into))
      return inner.fail(wrong_value(inner.name(field), "expected a string, found nothing", "missing_field"));
  if (call.name.empty()) return inner.fail(wrong_value(inner.name("name"), "expected a name, found an empty string"));
  const auto arguments = OrderedJson::parse(call.arguments_text, "arguments");
  const bool is_object = arguments.ok() && arguments->is_object();
  call.arguments = is_object ? *arguments : OrderedJson::of_string(call.arguments_text);
}

}  // namespace

void read_tools(Fields& fields, std::optional<ApiError>& error, std::string_view body, GenerationRequest& into) {
  into.tool_choice = ToolChoice::automatic;
  if (const Json* choice = fields.find("tool_choice")) {
    if (*choice == "none")
      into.tool_choice = ToolChoice::none;
    else if (*choice != "auto")
      return fields.fail(wrong_value(
          "tool_choice",
          "expected \"auto\" or \"none\", found " + json_excerpt(*choice) + ": a model cannot be made to call here",
          "unsupported_value"));
  }
  if (bool parallel = true; fields.boolean("parallel_tool_calls", parallel) && !parallel)
    into.call_count = CallCount::one;
  const Json* tools = fields.find("tools");
  if (tools == nullptr) return;
  if (!tools->is_array()) return fields.fail(wrong_type("tools", "an array of tools", *tools));
  for (std::size_t i = 0; i < tools->size() && !error; ++i) read_tool((*tools)[i], fmt::format("tools[{}]", i), error);
  if (error || tools->empty()) return;
  const auto ordered = OrderedJson::parse(body, "request body");
  if (!ordered.ok()) return fields.fail({.message = ordered.error().message, .code = "invalid_json"});
  into.tools = *ordered->find("tools");
}

void read_tool_calls(Fields& message, std::optional<ApiError>& error, ChatMessage& into) {
  const Json* calls = message.find("tool_calls");
  if (calls == nullptr) return;
  if (!calls->is_array()) return message.fail(wrong_type(message.name("tool_calls"), "an array of calls", *calls));
  if (calls->empty()) return;
  into.tool_calls.emplace();  // it grows with what is well-formed: junk of 2 bytes must not cost a call's memory
  for (std::size_t i = 0; i < calls->size() && !error; ++i)
    read_call((*calls)[i], fmt::format("{}[{}]", message.name("tool_calls"), i), error,
              into.tool_calls->emplace_back());
}

namespace {

// Of an id given twice, the first.
std::map<std::string_view, std::size_t> places_by_id(const std::vector<ToolCall>& calls) {
  std::map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < calls.size(); ++i) places.emplace(calls[i].id, i);
  return places;
}

// messages[caller] calls; its results are all up to `end`.
void order_round(std::vector<ChatMessage>& messages, std::size_t caller, std::size_t end,
                 std::optional<ApiError>& error) {
  const std::vector<ToolCall>& calls = *messages[caller].tool_calls;
  const auto places = places_by_id(calls);
  std::vector<std::size_t> result_of(calls.size(), caller);  // a call without a result has its caller's place
  bool twice = false;
  for (std::size_t at = caller + 1; at < end; ++at) {
    const auto place = places.find(messages[at].tool_call_id);
    if (place == places.end()) {
      error = wrong_value(fmt::format("messages[{}].tool_call_id", at),
                          fmt::format("expected the id of a call in messages[{}], found {}", caller,
                                      json_excerpt(Json(messages[at].tool_call_id))));
      return;
    }
    if (std::exchange(result_of[place->second], at) != caller) twice = true;
  }
  const std::size_t results = end - caller - 1;
  if (twice || results != calls.size()) {
    error = wrong_value(fmt::format("messages[{}].tool_calls", caller),
                        fmt::format("expected one message of role tool behind it for each of {} calls, found {}{}",
                                    calls.size(), results, twice ? ", two of them for one call" : ""));
    return;
  }
  std::vector<ChatMessage> ordered;
  ordered.reserve(results);
  for (const std::size_t at : result_of) ordered.push_back(std::move(messages[at]));
  std::move(ordered.begin(), ordered.end(), messages.begin() + static_cast<std::ptrdiff_t>(caller + 1));
}

}  // namespace

void order_results(std::vector<ChatMessage>& messages, std::optional<ApiError>& error) {
  for (std::size_t i = 0; i < messages.size() && !error;) {
    if (messages[i].role == "tool") {
      error = wrong_value(fmt::format("messages[{}].role", i),
                          "expected a tool's result right behind the message that called it, found no such message");
      return;
    }
    const std::size_t first = i + 1;
    if (!messages[i].calls_tools()) {
      i = first;
      continue;
    }
    std::size_t end = first;
    while (end < messages.size() && messages[end].role == "tool") ++end;
    order_round(messages, i, end, error);
    i = end;
  }
}

}  // namespace hadal
