// From a checkpoint's directory to a Transformer that can run.
//
// The one place that joins config.json, safetensors and the packed weights; cli, chat and the tests of both use it.
// The files are read once and are not needed afterwards. It prints nothing: the sink does. Any thread.
#pragma once

#include <filesystem>
#include <memory>

#include "base/progress.h"
#include "base/result.h"
#include "model/transformer.h"

namespace hadal {

// `directory`: config.json and safetensors as published. Every tensor is checked (present, shape, kind, scales) before
// memory is taken. Errors: what the files say wrongly, by file and tensor; ErrorKind::out_of_memory.
// Checkpoints that load in a blink (less than 64 MB) show no progress.
Result<std::unique_ptr<Transformer>> load_transformer(const std::filesystem::path& directory, const Compute& compute,
                                                      ProgressSink progress = ProgressSink::none());

}  // namespace hadal
