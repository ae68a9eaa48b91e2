// What several chat formats demand of a conversation before they write it. Errors name the message.
#pragma once

#include <cstddef>
#include <span>

#include "text/chat_format.h"

namespace hadal {

// A content that must be text, or of a tool also JSON: neither null nor left out.
Status check_content(const ChatMessage& message, std::size_t index);

Error unknown_role(const ChatMessage& message, std::size_t index, std::string_view expected);

// The error of thinking that a format does not have, and of a conversation whose last message cannot be gone on with.
Status check_options(const ChatFormat& format, std::span<const ChatMessage> messages, const RenderOptions& options);

}  // namespace hadal
