// From a checkpoint to a Transformer that can run.
//
// The one place that joins config, tensors and the packed weights. It prints nothing: the sink does. Any thread.
#pragma once

#include <memory>

#include "base/progress.h"
#include "base/result.h"
#include "model/transformer.h"
#include "spec/open_checkpoint.h"

namespace hadal {

// What is stored in blocks stays in the files' mapping: `checkpoint` must outlive the Transformer. Errors:
// ErrorKind::out_of_memory, and what is wrong with a tensor's scales. Checkpoints that load in a blink (less than 64
// MB) show no progress.
Result<std::unique_ptr<Transformer>> load_transformer(const Checkpoint& checkpoint, const Compute& compute,
                                                      ProgressSink progress = ProgressSink::none());

}  // namespace hadal
