// `hadal quantize MODEL OUT.gguf --type q4_k`: any checkpoint as a GGUF file of fewer bits.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "chat/generation_config.h"
#include "chat/model_files.h"
#include "cli/gguf_vocabulary_keys.h"
#include "cli/importance.h"
#include "cli/shared_options.h"
#include "cli/text_tokens.h"
#include "kernels/compute.h"
#include "kernels/kernel_table.h"
#include "kernels/quantiser.h"
#include "spec/gguf_checkpoint.h"
#include "spec/gguf_export.h"

namespace hadal {
namespace {

constexpr const char* kExamples =
    "\nMatrices get the type, or what stands in for it where rows are no whole blocks (q4_k: q5_0, q5_k: q5_1, q6_k: "
    "q8_0);\n"
    "the head gets at least q6_k, and so does an embedding that is the head too; vectors and routers stay f32. The "
    "error\n"
    "is that of all values of a kind together, as a share of their size.\n"
    "\nExamples:\n"
    "  hadal quantize DIR model.gguf --type q4_k\n"
    "  hadal quantize deepseek-ai/DeepSeek-V2-Lite-Chat lite.gguf --type q8_0\n"
    "  hadal quantize DIR small.gguf --type q2_k --importance text.txt   errors weighed by what the model sees there\n"
    "  hadal quantize big.gguf small.gguf --type q4_k --json\n";

struct QuantizeOptions {
  std::string model, out, type = "q4_k", importance;  // importance: a text
  int threads = 0;
  bool json = false;
};

// What was lost, by type of the result.
struct ErrorSums {
  double squared_error = 0, squared = 0;
  std::uint64_t values = 0, bytes = 0;
};

class Quantizer {
 public:
  Quantizer(const Checkpoint& checkpoint, ThreadPool& pool, const CancelFlag& cancel, const Importance* importance)
      : checkpoint_(checkpoint), config_(checkpoint.config), pool_(pool), cancel_(cancel), importance_(importance) {}

  // Rows of one matrix in chunks, each thread its own; the file gets them in order.
  Status write(const GgufTensor& t, GgufWriter& writer, Progress& bar, std::uint64_t& done) {
    if (t.content == GgufTensor::Content::divisors) {
      const std::vector<float> divisors = rope_divisors(config_);
      return writer.append(std::as_bytes(std::span(divisors)));
    }
    const std::int64_t matrices = static_cast<std::int64_t>(t.sources.size());
    for (std::int64_t m = 0; m < matrices; ++m) {
      const bool heads = t.content == GgufTensor::Content::keys || t.content == GgufTensor::Content::values;
      HADAL_RETURN_IF_ERROR(heads ? write_heads(t, writer)
                                  : write_matrix(t, t.sources[static_cast<std::size_t>(m)], writer));
      const TensorSpec& source = t.sources[static_cast<std::size_t>(m)];
      if (const auto view = checkpoint_.tensors->find(source.name)) release_pages(view->bytes);
      done += static_cast<std::uint64_t>(source.elements()) / (heads ? 2 : 1);
      bar.update(done);
      if (cancel_.requested()) return Error{ErrorKind::cancelled, "quantize: stopped, nothing is left"};
    }
    return Done{};
  }
  const std::map<DType, ErrorSums>& errors() const { return errors_; }

 private:
  static constexpr std::int64_t kChunkValues = 1 << 19;

  std::int64_t source_row(const GgufTensor& t, std::int64_t row) const {
    return t.permuted ? published_row(config_.head_dim, row) : row;
  }

  Status write_matrix(const GgufTensor& t, const TensorSpec& spec, GgufWriter& writer) {
    HADAL_ASSIGN(const TensorReader reader, TensorReader::open(*checkpoint_.tensors, spec, config_));
    const std::int64_t rows = spec.shape.size() == 1 ? 1 : reader.rows(), width = spec.shape.back();
    return write_rows(
        t, spec.name, rows, width, writer,
        [&](std::int64_t row, float* out) {
          if (spec.shape.size() == 1)
            reader.read(0, width, out);
          else
            reader.read(source_row(t, row), 1, out);
        },
        importance_ ? importance_->of(spec) : std::vector<float>());
  }

  // kv_b by halves: keys of a head transposed, values as they are.
  Status write_heads(const GgufTensor& t, GgufWriter& writer) {
    HADAL_ASSIGN(const TensorReader reader, TensorReader::open(*checkpoint_.tensors, t.sources[0], config_));
    const std::int64_t nope = config_.qk_nope_head_dim, value = config_.v_head_dim, latent = config_.kv_lora_rank,
                       heads = config_.num_attention_heads;
    std::vector<float> whole(static_cast<std::size_t>(reader.rows() * latent));
    reader.read(0, reader.rows(), whole.data());
    const auto at = [&](std::int64_t head, std::int64_t row, std::int64_t column) {
      return whole[static_cast<std::size_t>((head * (nope + value) + row) * latent + column)];
    };
    const bool keys = t.content == GgufTensor::Content::keys;
    return write_rows(t, t.sources[0].name, heads * (keys ? latent : value), keys ? nope : latent, writer,
                      [&](std::int64_t row, float* out) {
                        if (keys)
                          for (std::int64_t n = 0; n < nope; ++n) out[n] = at(row / latent, n, row % latent);
                        else
                          for (std::int64_t c = 0; c < latent; ++c) out[c] = at(row / value, nope + row % value, c);
                      });
  }

  template <class Read>
  Status write_rows(const GgufTensor& t, const std::string& name, std::int64_t rows, std::int64_t width,
                    GgufWriter& writer, Read read, const std::vector<float>& importance = {}) {
    const DType dtype = t.declaration.dtype;
    const std::int64_t step = std::max<std::int64_t>(1, kChunkValues / width);
    const std::size_t row_bytes = size_bytes(dtype, static_cast<std::size_t>(width));
    const int at_once = 2 * pool_.threads();
    std::vector<std::byte> bytes(static_cast<std::size_t>(step * at_once) * row_bytes);
    std::optional<Error> error;
    std::mutex mutex;
    for (std::int64_t first = 0; first < rows; first += step * at_once) {
      const std::int64_t n = std::min(step * at_once, rows - first);
      pool_.parallel_for(static_cast<int>((n + step - 1) / step), [&](int chunk, int) {
        std::vector<float> values(static_cast<std::size_t>(width)), back(values.size());
        ErrorSums sums;
        std::optional<Error> bad;
        for (std::int64_t r = chunk * step; r < std::min(n, (chunk + 1) * step); ++r) {
          read(first + r, values.data());
          std::byte* to = bytes.data() + static_cast<std::size_t>(r) * row_bytes;
          if (const auto wrong = quantise_row(dtype, values, importance, to, back)) {
            bad = Error{ErrorKind::invalid,
                        fmt::format("{}: tensor {}: expected {}, found {} at [{}, {}]", checkpoint_.tensors->subject(),
                                    name, wrong->expected, values[wrong->at], first + r, wrong->at)};
            break;
          }
          add_errors(values, back, sums);
          sums.bytes += row_bytes;
        }
        const std::scoped_lock lock(mutex);
        if (bad && !error) error = std::move(bad);
        ErrorSums& all = errors_[dtype];
        all.squared_error += sums.squared_error;
        all.squared += sums.squared;
        all.values += sums.values;
        all.bytes += sums.bytes;
      });
      if (error) return *error;
      HADAL_RETURN_IF_ERROR(writer.append(std::span(bytes).first(static_cast<std::size_t>(n) * row_bytes)));
    }
    return Done{};
  }

  struct WrongValue {
    std::size_t at;
    std::string expected;
  };
  // One row to `to`, and what that gives to `back`; or a value that the type cannot hold: its scales end with half
  // precision, and beyond that a whole block would be infinite.
  std::optional<WrongValue> quantise_row(DType dtype, std::span<const float> values,
                                         const std::vector<float>& importance, std::byte* to,
                                         std::span<float> back) const {
    if (const std::size_t i = first_not_finite(values.data(), values.size()); i < values.size())
      return WrongValue{i, "finite values"};
    quantise(kernels_, dtype, values.data(), values.size(), importance.empty() ? nullptr : importance.data(), to);
    restore_row(kernels_, dtype, to, back.size(), back.data());
    const std::size_t i = first_not_finite(back.data(), back.size());
    if (i == back.size()) return std::nullopt;
    const std::size_t width = static_cast<std::size_t>(block_values(dtype));
    const auto block = values.subspan(i / width * width, width);
    const auto largest =
        std::max_element(block.begin(), block.end(), [](float x, float y) { return std::fabs(x) < std::fabs(y); });
    return WrongValue{static_cast<std::size_t>(&*largest - values.data()),
                      fmt::format("values within the range of {}", name_of(dtype))};
  }

  // `found` becomes the errors.
  void add_errors(std::span<const float> values, std::span<float> found, ErrorSums& sums) const {
    const int n = static_cast<int>(values.size());
    kernels_.add_scaled(values.data(), -1, n, found.data());
    sums.squared_error += static_cast<double>(kernels_.dot(found.data(), found.data(), n));
    sums.squared += static_cast<double>(kernels_.dot(values.data(), values.data(), n));
    sums.values += values.size();
  }

  const KernelTable& kernels_ = *kernels_for(best_isa());
  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  ThreadPool& pool_;
  const CancelFlag& cancel_;
  const Importance* importance_;  // null: all errors weigh alike
  std::map<DType, ErrorSums> errors_;
};

double relative(const ErrorSums& sums) {
  return sums.squared > 0 ? std::sqrt(sums.squared_error / sums.squared) : 0;
}

void report(const QuantizeOptions& options, const std::map<DType, ErrorSums>& errors, double seconds,
            double source_bytes) {
  if (options.json) {
    Json kinds = Json::object();
    for (const auto& [dtype, sums] : errors)
      kinds[std::string(name_of(dtype))] = {
          {"values", sums.values}, {"bytes", sums.bytes}, {"relative_error", relative(sums)}};
    write_out(Json{{"file", options.out},
                   {"seconds", seconds},
                   {"source_mb_per_second", source_bytes / seconds * 1e-6},
                   {"types", kinds}}
                  .dump() +
              "\n");
    return;
  }
  write_out(fmt::format("{:<8} {:>14} {:>12} {:>15}\n", "", "values", "bytes", "relative error"));
  for (const auto& [dtype, sums] : errors)
    write_out(fmt::format("{:<8} {:>14} {:>12} {:>15.2e}\n", name_of(dtype), sums.values,
                          format_bytes(static_cast<double>(sums.bytes)), relative(sums)));
  write_out(fmt::format("{}: {:.0f} MB of source a second\n", options.out, source_bytes / seconds * 1e-6));
}

Result<Importance> measure_importance(const QuantizeOptions& options) {
  HADAL_ASSIGN(const WeightModel model, open_weights(options.model, Arithmetic::fast, options.threads));
  HADAL_ASSIGN(const Tokenizer tokenizer, open_tokenizer(model.location.path));
  HADAL_ASSIGN(const std::vector<TokenId> tokens, read_text_tokens(options.importance, tokenizer, model.config()));
  if (tokens.empty())
    return Error{ErrorKind::invalid, fmt::format("{}: expected a text, found nothing", options.importance)};
  return Importance::measure(model, tokens, ProgressSink::to(stderr));
}

// How the model is sampled where nobody says otherwise; what its format's models are sampled with needs no keys.
Status say_sampling(const QuantizeOptions& options, GgufKeys& keys) {
  const auto text = open_text(options.model);
  if (!text.ok()) return Done{};  // weights without a tokenizer
  HADAL_ASSIGN(const GenerationConfig config, read_generation_config(text->location.path, card_sampling(text->format)));
  if (config.says_sampling) add_sampling_keys(config.sampling, keys);
  return Done{};
}

Status run_quantize(const QuantizeOptions& options) {
  const DType type = *weight_dtype_of(options.type);
  HADAL_ASSIGN(const ModelLocation location, find_model(options.model));
  HADAL_ASSIGN(const Checkpoint checkpoint, open_checkpoint(location.path));
  HADAL_ASSIGN(GgufKeys keys, gguf_config_keys(checkpoint.config, location.name));
  HADAL_RETURN_IF_ERROR(add_vocabulary_keys(location.path, checkpoint.config, keys));
  HADAL_RETURN_IF_ERROR(say_sampling(options, keys));
  const std::vector<GgufTensor> tensors = gguf_tensors(checkpoint.config, type);
  std::vector<TensorDeclaration> declarations;
  std::uint64_t total = 0, done = 0;
  for (const GgufTensor& t : tensors) {
    declarations.push_back(t.declaration);
    std::uint64_t values = 1;
    for (const std::int64_t d : t.declaration.shape) values *= static_cast<std::uint64_t>(d);
    total += values;
  }
  std::optional<Importance> importance;
  if (!options.importance.empty()) {
    HADAL_ASSIGN(importance, measure_importance(options));
  }
  CancelFlag cancel;
  const InterruptGuard guard(cancel);
  const Stopwatch watch;
  HADAL_ASSIGN(GgufWriter writer, GgufWriter::create(options.out, keys, std::move(declarations)));
  Progress bar(ProgressSink::to(stderr), fmt::format("quantizing to {}", options.type), total);
  ThreadPool pool(options.threads);
  Quantizer quantizer(checkpoint, pool, cancel, importance ? &*importance : nullptr);
  for (const GgufTensor& t : tensors) HADAL_RETURN_IF_ERROR(quantizer.write(t, writer, bar, done));
  HADAL_RETURN_IF_ERROR(writer.commit());
  bar.finish();
  report(options, quantizer.errors(), watch.elapsed().count(), static_cast<double>(checkpoint.file_bytes));
  return Done{};
}

}  // namespace

void add_quantize_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<QuantizeOptions>();
  CLI::App* command = app.add_subcommand("quantize", "A checkpoint as a GGUF file of fewer bits");
  command->footer(kExamples);
  command->add_option("MODEL", options->model, "A directory, a .gguf file, an id or a built-in name")->required();
  add_gguf_out(*command, options->out);
  add_block_type_option(*command, options->type);
  command->add_option("--importance", options->importance,
                      "A text file that the model reads first: each weight's error counts by the inputs it meets");
  command->add_option("--threads", options->threads, "Threads; 0 takes all")->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "One JSON object");
  command->callback([options, &result] { result.status = run_quantize(*options); });
}

}  // namespace hadal
