// The formats there are. Used by chat_format.cc and chat_recognition.cc only; others go by name.
#pragma once

#include "text/chat_format.h"

namespace hadal {

const ChatFormat& deepseek_v2_format();   // V2, V2-Lite-Chat, Coder-V2: roles in plain text
const ChatFormat& deepseek_v3_format();   // V2.5, V3, V3-0324
const ChatFormat& deepseek_r1_format();   // R1 and its distillations
const ChatFormat& deepseek_v31_format();  // V3.1: thinks when asked to
const ChatFormat& qwen25_format();        // Qwen2.5 Instruct
const ChatFormat& llama3_format();        // Llama 3.1 and later, without its built-in tools
const ChatFormat& smollm2_format();       // SmolLM2 Instruct

}  // namespace hadal
