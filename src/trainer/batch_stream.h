// The endless stream of training batches of a mixture, made one step ahead by a thread of its own.
//
// Whole examples follow one another, each its own sequence: attention, positions and targets never cross a seam, and
// nothing is padded. A batch ends with the example that reaches batch_tokens. Sources take turns so that their
// shares, in tokens, are the mixture's in every batch (the source with the largest unpaid share is next).
// Batches are a pure function of the state and of the progress each was asked for with; state() is all
// that a resumed run needs. One caller.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/data_source.h"
#include "trainer/example.h"
#include "trainer/training_model.h"

namespace hadal {

struct BatchState {
  std::vector<std::uint64_t> drawn;        // a source: how many of its items were taken
  std::vector<double> unpaid_tokens;       // a source: its share so far minus what it gave
  std::vector<std::uint64_t> passed_over;  // a source: items held out, too long, or not worked out or written
  double progress = 0;                     // that the next batch is made for
};

// "12 of gcd, 3 of stories"; empty: no item was passed over.
std::string passed_over_by_source(const BatchState& state, std::span<const std::unique_ptr<DataSource>> sources);

struct Mixture {
  std::span<const std::unique_ptr<DataSource>> sources;  // null: left out, whatever its weight
  const ExampleEncoder* encoder = nullptr;
  std::vector<double> weights, weights_at_end;
  TrainOn train_on = TrainOn::all;
  int batch_tokens = 0, sequence_tokens = 0;
};

// Appends inputs and targets of one example (tokens.size() - 1 rows) to a batch.
void append_example(const TrainingExample& example, TrainOn train_on, TrainingBatch& batch);

// The batch that follows `state`, which moves on; sources that it does not know yet begin afresh.
Result<TrainingBatch> make_batch(const Mixture& mixture, BatchState& state);

class BatchStream {
 public:
  // `state` is an empty one at first; sources may have been added at the end of the recipe since.
  BatchStream(Mixture mixture, BatchState state);
  ~BatchStream();

  // The next batch; the one after it is made for `progress` (of the stage, 0 to 1).
  Result<TrainingBatch> next(double progress);
  // From which next() goes on.
  const BatchState& state() const { return state_; }

 private:
  struct Made {
    Result<TrainingBatch> batch;
    BatchState after;
  };
  void begin();
  Mixture mixture_;
  BatchState state_;
  std::future<Made> making_;
};

}  // namespace hadal
