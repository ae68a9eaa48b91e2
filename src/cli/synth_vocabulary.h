// A vocabulary of any size that is whole: every byte, then byte strings in a fixed order with the merges that make
// them, and a family's control tokens at their places. What a random model speaks.
#pragma once

#include "formats/gguf_writer.h"
#include "spec/model_config.h"

namespace hadal {

// Adds the keys tokenizer.ggml.* for a model of this config.
void add_synth_vocabulary(const ModelConfig& config, GgufKeys& keys);

}  // namespace hadal
