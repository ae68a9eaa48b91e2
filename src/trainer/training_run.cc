#include "trainer/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/hash.h"
#include "trainer/batch_stream.h"
#include "trainer/held_out.h"
#include "trainer/initialise.h"
#include "trainer/load_balance.h"
#include "trainer/metrics.h"
#include "trainer/optimizer.h"
#include "trainer/reinforcement/answer_files.h"
#include "trainer/reinforcement/reinforcement_stage.h"
#include "trainer/report.h"
#include "trainer/schedule.h"
#include "trainer/tokenizer_maker.h"
#include "trainer/training_model.h"
#include "trainer/training_state.h"
#include "trainer/work_folder.h"

namespace hadal {
namespace {

std::string fingerprint_of(const Recipe& recipe, const TokenizerFiles& tokenizer) {
  constexpr std::string_view kEnd = "\xff";  // in neither
  std::uint64_t h = kFnv1aStart;
  for (const std::string_view part : {std::string_view(recipe.model_json), std::string_view(tokenizer.tokenizer_json)})
    h = fnv1a(kEnd, fnv1a(part, h));
  return fmt::format("{:016x}", h);
}

double share_done(const StageRecipe& stage, const RunCounters& c) {
  double share = 0;
  if (stage.steps > 0) share = std::max(share, static_cast<double>(c.stage_steps) / static_cast<double>(stage.steps));
  if (stage.tokens > 0)
    share = std::max(share, static_cast<double>(c.stage_tokens) / static_cast<double>(stage.tokens));
  if (stage.minutes > 0) share = std::max(share, c.stage_seconds / (60 * stage.minutes));
  return share;
}

double mean_context_of(const TrainingBatch& batch) {  // earlier tokens that a token attends to
  double sum = 0;
  for (std::size_t i = 0; i + 1 < batch.starts.size(); ++i) {
    const double n = batch.starts[i + 1] - batch.starts[i];
    sum += n * (n + 1) / 2;
  }
  return sum / std::max<double>(1, static_cast<double>(batch.tokens.size()));
}

class TrainingRun {
 public:
  TrainingRun(const Recipe& recipe, const TrainingOptions& options)
      : recipe_(recipe),
        options_(options),
        pool_(options.threads),
        compute_(make_compute(pool_, recipe.exact ? Arithmetic::exact : Arithmetic::fast)) {}

  Result<TrainingSummary> run() {
    HADAL_RETURN_IF_ERROR(open_folder());
    HADAL_RETURN_IF_ERROR(open_data());
    HADAL_RETURN_IF_ERROR(open_model());
    if (options_.dry_run) return dry_run();
    const bool measures_again = counters_.stage_steps > 0;  // a stage's end follows its checkpoint
    HADAL_ASSIGN(MetricsLog log, MetricsLog::open(recipe_.work / "metrics.jsonl", counters_.step, measures_again));
    log_ = std::make_unique<MetricsLog>(std::move(log));
    for (const StepMetrics& m : log_->earlier()) take_loss(m);
    for (; counters_.stage < static_cast<int>(recipe_.stages.size()); next_stage())
      HADAL_RETURN_IF_ERROR(run_stage(recipe_.stages[static_cast<std::size_t>(counters_.stage)]));
    return finish();
  }

 private:
  void say(std::string_view line) const {
    if (options_.say) options_.say(line);
  }

  Status open_folder() {
    const Beginning beginning = options_.resume ? Beginning::from_checkpoint : Beginning::afresh;
    if (options_.dry_run) {
      HADAL_RETURN_IF_ERROR(WorkFolder::check(recipe_, beginning));
    } else {
      HADAL_ASSIGN(folder_, WorkFolder::open(recipe_, beginning));
    }
    const auto checkpoints = list_checkpoints(recipe_.work);
    if (!checkpoints.empty()) {
      checkpoint_ = checkpoints.back();
    } else if (!options_.dry_run) {  // answers of a run that never came to one
      std::error_code none;
      std::filesystem::remove_all(answers_folder(), none);
    }
    return Done{};
  }

  Status open_data() {
    HADAL_ASSIGN(filter_, held_out_questions(recipe_.held_out, recipe_.eval_paths));
    for (const SourceRecipe& recipe : recipe_.sources) {
      // By its name: what it gives does not depend on its neighbours in the list.
      HADAL_ASSIGN(auto source, open_source(recipe, recipe_.seed ^ fnv1a(recipe.name), filter_));
      say(fmt::format("source {}: {}", recipe.name,
                      !source              ? "left out: its files are absent"
                      : source->size() > 0 ? fmt::format("{} items", source->size())
                                           : "made as needed"));
      sources_.push_back(std::move(source));
    }
    for (const StageRecipe& stage : recipe_.stages)
      if (sum_present(stage.weights) <= 0 || sum_present(stage.weights_at_end) <= 0)
        return Error{ErrorKind::not_found,
                     fmt::format("{}: stage {}: expected a source whose files are there, found none",
                                 recipe_.file.filename().string(), stage.name)};
    HADAL_RETURN_IF_ERROR(open_tokenizer());
    HADAL_ASSIGN(Tokenizer tokenizer, make_tokenizer(tokenizer_));
    HADAL_ASSIGN(ExampleEncoder encoder, ExampleEncoder::create(std::move(tokenizer)));
    encoder_ = std::make_unique<ExampleEncoder>(std::move(encoder));
    int longest = 0;
    for (const StageRecipe& stage : recipe_.stages) longest = std::max(longest, stage.sequence_tokens);
    HADAL_ASSIGN(held_out_, HeldOut::open(recipe_.eval_paths, recipe_.eval_items, longest, *encoder_));
    for (const std::filesystem::path& file : held_out_.absent())
      say(fmt::format("held-out questions {}: left out, the file is absent", file.string()));
    return Done{};
  }

  Status open_tokenizer() {
    const std::filesystem::path made = recipe_.work / "tokenizer";
    std::error_code none;
    if (!recipe_.tokenizer_path.empty()) {
      HADAL_ASSIGN(tokenizer_, read_tokenizer_files(recipe_.tokenizer_path));
    } else if (!checkpoint_.empty() && std::filesystem::exists(made / "tokenizer.json", none)) {
      HADAL_ASSIGN(tokenizer_, read_tokenizer_files(made));
    } else {
      say(fmt::format("training a tokenizer of {} tokens", recipe_.tokenizer_vocab_size));
      HADAL_ASSIGN(tokenizer_, train_tokenizer(recipe_, sources_));
      if (!options_.dry_run) HADAL_RETURN_IF_ERROR(write_tokenizer_files(made, tokenizer_));
    }
    return Done{};
  }

  Status open_model() {
    HADAL_ASSIGN(const int rows,
                 embedding_rows(encoder_->tokenizer(), checkpoint_.empty() ? recipe_.start : checkpoint_));
    HADAL_ASSIGN(const ModelConfig config, recipe_model_config(recipe_, {rows, encoder_->bos(), encoder_->eos()}));
    for (const StageRecipe& stage : recipe_.stages)
      if (stage.sequence_tokens > config.max_position_embeddings)
        return Error{ErrorKind::invalid, fmt::format("{}: stage {}: sequence_tokens: expected at most {} "
                                                     "(max_position_embeddings), found {}",
                                                     recipe_.file.filename().string(), stage.name,
                                                     config.max_position_embeddings, stage.sequence_tokens)};
    for (const StageRecipe& stage : recipe_.stages)
      if (stage.mtp_weight > 0 && config.num_nextn_predict_layers == 0)
        return Error{ErrorKind::invalid,
                     fmt::format("{}: stage {}: mtp_weight: expected 0 (num_nextn_predict_layers is "
                                 "0), found {}",
                                 recipe_.file.filename().string(), stage.name, stage.mtp_weight)};
    HADAL_ASSIGN(model_, TrainingModel::create(config, compute_));
    fingerprint_ = fingerprint_of(recipe_, tokenizer_);
    const ParameterCounts counts = count_parameters(config);
    say(fmt::format("model: {:.1f} M parameters, {:.1f} M active a token, vocabulary {}, {} threads, {}",
                    static_cast<double>(counts.total) * 1e-6, static_cast<double>(counts.active) * 1e-6,
                    config.vocab_size, pool_.threads(), recipe_.exact ? "exact" : "fast"));
    counters_.tokenizer_vocab_size = recipe_.tokenizer_vocab_size;
    if (!checkpoint_.empty()) {
      HADAL_ASSIGN(
          LoadedState state,
          read_training_state(checkpoint_, static_cast<std::int64_t>(model_->parameters().size()), fingerprint_));
      HADAL_RETURN_IF_ERROR(find_place(recipe_, checkpoint_, state.counters));
      std::copy(state.parameters.begin(), state.parameters.end(), model_->parameters().begin());
      counters_ = std::move(state.counters);
      restored_ = std::make_unique<OptimizerState>(std::move(state.optimizer));
      reference_ = std::move(state.reference);
      say(fmt::format("resumed at step {} from {}", counters_.step, checkpoint_.string()));
    } else if (!recipe_.start.empty()) {
      HADAL_RETURN_IF_ERROR(check_tokens_of(recipe_.start, encoder_->tokenizer(), recipe_.file.filename().string()));
      HADAL_RETURN_IF_ERROR(load_parameters(recipe_.start, *model_));
      say(fmt::format("begins with the weights of {}", recipe_.start.string()));
    } else {
      initialise(model_->slots(), recipe_.seed, recipe_.init_std, pool_, model_->parameters());
    }
    model_->parameters_changed();
    return Done{};
  }

  std::filesystem::path answers_folder() const { return recipe_.work / "answers"; }

  double sum_present(const std::vector<double>& weights) const {
    double sum = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) sum += sources_[i] ? weights[i] : 0;
    return sum;
  }
  // The weights of the sources that are there, with a sum of 1.
  std::vector<double> present_weights(std::vector<double> weights) const {
    const double sum = sum_present(weights);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = sources_[i] ? weights[i] / sum : 0;
    return weights;
  }

  Mixture mixture_of(const StageRecipe& stage) const {
    return {.sources = sources_,
            .encoder = encoder_.get(),
            .weights = present_weights(stage.weights),
            .weights_at_end = present_weights(stage.weights_at_end),
            .train_on = stage.train_on,
            .batch_tokens = stage.batch_tokens,
            .sequence_tokens = stage.sequence_tokens};
  }

  Result<TrainingSummary> dry_run() {
    for (const StageRecipe& stage : recipe_.stages) {
      if (stage.samples()) {
        HADAL_ASSIGN(const auto reinforcement, open_reinforcement(stage));
        HADAL_ASSIGN(const std::vector<AskedQuestion> questions, reinforcement->first_questions());
        std::size_t tokens = 0;
        for (const AskedQuestion& question : questions) tokens += question.prompt.size();
        say(fmt::format("stage {}: the first {} questions have {} tokens", stage.name, questions.size(), tokens));
        continue;
      }
      BatchStream stream(mixture_of(stage), {});
      HADAL_ASSIGN(const TrainingBatch batch, stream.next(0));
      say(fmt::format("stage {}: the first batch has {} tokens in {} sequences, {:.1f} MFLOP a token", stage.name,
                      batch.tokens.size(), batch.starts.size() - 1,
                      training_flops_per_token(model_->config(), mean_context_of(batch)) * 1e-6));
      say_passed_over(stage, sources_, stream.state());
    }
    return TrainingSummary{};
  }

  void next_stage() {
    ++counters_.stage;
    counters_.stage_steps = counters_.stage_tokens = 0;
    counters_.stage_seconds = 0;
    counters_.batches.progress = 0;
    counters_.kept = {};
    counters_.curriculum = {};
    reference_.clear();
  }

  Status run_stage(const StageRecipe& stage) {
    counters_.stage_name = stage.name;
    const bool mtp_learns = stage.kind != StageKind::grpo && stage.mtp_weight > 0;
    Optimizer optimizer(compute_, model_->slots(), stage.optimizer.kind,
                        mtp_learns ? std::numeric_limits<int>::max() : model_->config().num_hidden_layers);
    // Moments carry over between stages of one optimiser; another kind starts afresh.
    if (restored_ && restored_->kind == stage.optimizer.kind && !optimizer.restore(std::move(*restored_)))
      return Error{ErrorKind::invalid, "checkpoint: expected the optimiser's state of this model, found another size"};
    restored_.reset();
    std::unique_ptr<BatchStream> stream;
    std::unique_ptr<ReinforcementStage> reinforcement;
    if (stage.kind == StageKind::grpo) {
      HADAL_ASSIGN(reinforcement, open_reinforcement(stage));
      reference_ = {};
    } else if (stage.kind == StageKind::rejection) {
      const Status opened = open_kept(stage, optimizer);
      if (!opened.ok()) return opened.error().kind == ErrorKind::cancelled ? stopped() : opened;
      stream = std::make_unique<BatchStream>(mixture_of_kept(stage), counters_.kept);
    } else {
      stream = std::make_unique<BatchStream>(mixture_of(stage), counters_.batches);
    }
    if (stage.average_start > 0 && counters_.stage_steps == 0)
      reference_.assign(model_->parameters().begin(), model_->parameters().end());
    if (stage.average_start > 0 && reference_.empty() && share_done(stage, counters_) < 1)
      return Error{ErrorKind::invalid,
                   fmt::format("stage {}: average_start: expected a checkpoint with the stage's beginning, found one "
                               "without: the mean has been taken, or the key is newer than the checkpoint",
                               stage.name)};
    Progress progress(options_.progress, stage.name, 1000000,
                      static_cast<std::uint64_t>(1e6 * std::min(1.0, share_done(stage, counters_))));
    Stopwatch since_checkpoint, step_watch;
    while (share_done(stage, counters_) < 1) {
      const Status done = reinforcement ? reinforce_step(stage, optimizer, *reinforcement, step_watch, progress)
                                        : train_step(stage, optimizer, *stream, step_watch, progress);
      if (!done.ok() && done.error().kind != ErrorKind::cancelled) return done;  // cancelled: nothing has changed
      const bool due = since_checkpoint.elapsed().count() > 60 * recipe_.checkpoint_minutes ||
                       (recipe_.checkpoint_steps > 0 && counters_.step % recipe_.checkpoint_steps == 0);
      const bool stop = options_.cancel != nullptr && options_.cancel->requested();
      if (due || stop) {
        HADAL_RETURN_IF_ERROR(save(optimizer.state(), reference_of(reinforcement)));
        since_checkpoint.restart();
      }
      if (stop) return stopped();
    }
    if (stage.average_start > 0 && !reference_.empty()) average_with_reference(stage.average_start);
    restored_ = std::make_unique<OptimizerState>(optimizer.state());
    HADAL_RETURN_IF_ERROR(save(*restored_, reference_of(reinforcement)));
    if (stream) say_passed_over(stage, stage.kind == StageKind::rejection ? kept_ : sources_, stream->state());
    if (!reinforcement) return Done{};
    const Status measured = log_answers(stage, *reinforcement);
    return !measured.ok() && measured.error().kind == ErrorKind::cancelled ? stopped() : measured;
  }
  void say_passed_over(const StageRecipe& stage, std::span<const std::unique_ptr<DataSource>> sources,
                       const BatchState& state) const {
    const std::string counts = passed_over_by_source(state, sources);
    if (!counts.empty())
      say(
          fmt::format("stage {}: items passed over so far: {} (held out, longer than sequence_tokens, or not to be "
                      "worked out or written)",
                      stage.name, counts));
  }
  Error stopped() const {
    const auto checkpoints = list_checkpoints(recipe_.work);
    const std::string saved = checkpoints.empty()
                                  ? "nothing saved yet"
                                  : fmt::format("saved in {}; go on with --resume", checkpoints.back().string());
    return {ErrorKind::cancelled, fmt::format("stopped at step {}: {}", counters_.step, saved)};
  }
  std::span<const float> reference_of(const std::unique_ptr<ReinforcementStage>& stage) const {
    return stage ? stage->reference() : std::span<const float>(reference_);
  }
  // Once: a checkpoint without a reference follows.
  void average_with_reference(double share) {
    const std::span<float> parameters = model_->parameters();
    const float mine = static_cast<float>(1 - share), other = static_cast<float>(share);
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] = mine * parameters[i] + other * reference_[i];
    reference_.clear();
    model_->parameters_changed();
  }

  Status train_step(const StageRecipe& stage, Optimizer& optimizer, BatchStream& stream, Stopwatch& watch,
                    Progress& progress) {
    const double share = share_done(stage, counters_);
    const Stopwatch of_step;
    HADAL_ASSIGN(const TrainingBatch batch, stream.next(share));
    const StepResult result = model_->forward_backward(
        batch, {.sequence_balance_alpha = stage.sequence_balance_alpha, .mtp_weight = stage.mtp_weight});
    const double norm = optimizer.gradient_norm(model_->gradients());
    if (!std::isfinite(result.loss) || !std::isfinite(norm)) return not_finite(result.loss);
    // The first step has done nothing yet, but a rate of zero would waste it: the share is taken at its middle.
    const double factor = learning_rate_factor(stage.schedule, share + half_step(stage, batch.tokens.size()));
    optimizer.step(stage.optimizer, factor, norm, model_->parameters(), model_->gradients());
    update_router_bias(model_->slots(), result.expert_load, stage.balance_rate, model_->parameters());
    model_->parameters_changed();

    (stage.kind == StageKind::rejection ? counters_.kept : counters_.batches) = stream.state();
    StepMetrics m{.stage = stage.name,
                  .loss = result.loss,
                  .balance_loss = result.balance_loss,
                  .mtp_loss = result.mtp_loss,
                  .gradient_norm = norm,
                  .learning_rate = factor * stage.optimizer.learning_rate};
    measure_load(result.expert_load, m);
    const double rows = static_cast<double>(batch.tokens.size());
    count_step(static_cast<std::int64_t>(batch.tokens.size()), m);
    measure_rate(rows, rows * training_flops_per_token(model_->config(), mean_context_of(batch)), of_step, m);
    if (recipe_.eval_every > 0 && counters_.step % recipe_.eval_every == 0) m.held_out = held_out_.losses(*model_);
    return record_step(stage, m, watch, progress);
  }

  void measure_load(std::span<const std::int64_t> expert_load, StepMetrics& m) {
    recent_load_.add(expert_load);
    m.max_load = max_over_mean_load(expert_load, model_->config().n_routed_experts);
    m.recent_max_load = max_over_mean_load(recent_load_.sum(), model_->config().n_routed_experts);
  }

  void count_step(std::int64_t tokens, StepMetrics& m) {
    m.step = ++counters_.step;
    m.tokens = counters_.tokens += tokens;
    ++counters_.stage_steps;
    counters_.stage_tokens += tokens;
  }

  static void measure_rate(double tokens, double operations, const Stopwatch& of_step, StepMetrics& m) {
    const double seconds = of_step.elapsed().count();
    m.tokens_per_second = tokens / seconds;
    m.gflops = operations / seconds * 1e-9;
  }

  // `watch`: since the last step was recorded, with its checkpoint and this one's measurements.
  Status record_step(const StageRecipe& stage, StepMetrics& m, Stopwatch& watch, Progress& progress) {
    const double seconds = watch.elapsed().count();
    watch.restart();
    counters_.stage_seconds += seconds;
    counters_.seconds += seconds;
    m.seconds = counters_.seconds;
    HADAL_RETURN_IF_ERROR(log_->append(m));
    show(stage, m, progress);
    return Done{};
  }

  Result<std::unique_ptr<ReinforcementStage>> open_reinforcement(const StageRecipe& stage) {
    return ReinforcementStage::create({.stage = stage,
                                       .model = *model_,
                                       .compute = compute_,
                                       .encoder = *encoder_,
                                       .sources = sources_,
                                       .source_recipes = recipe_.sources,
                                       .weights = present_weights(stage.weights),
                                       .seed = recipe_.seed + 7919 * static_cast<std::uint64_t>(counters_.stage + 1),
                                       .cancel = options_.cancel},
                                      reference_);
  }

  // The answers that a stage of rejection sampling is fine-tuned on: a file of conversations, made once: a checkpoint
  // follows.
  Status open_kept(const StageRecipe& stage, const Optimizer& optimizer) {
    const std::filesystem::path file = recipe_.work / "kept" / (stage.name + ".jsonl");
    std::error_code none;
    if (counters_.kept.drawn.empty() || !std::filesystem::exists(file, none)) {
      const Stopwatch watch;
      HADAL_ASSIGN(const auto reinforcement, open_reinforcement(stage));
      Progress bar(options_.progress, stage.name + ": answers", static_cast<std::uint64_t>(stage.grpo.questions));
      HADAL_ASSIGN(const std::vector<ReinforcementStage::Kept> kept,
                   reinforcement->right_answers([&](int asked, std::size_t count) {
                     bar.update(static_cast<std::uint64_t>(asked), fmt::format("{} kept", count));
                   }));
      bar.finish();
      if (kept.empty())
        return Error{ErrorKind::invalid,
                     fmt::format("stage {}: expected right answers among those to {} questions, found none", stage.name,
                                 stage.grpo.questions)};
      HADAL_RETURN_IF_ERROR(write_kept_answers(file, kept));
      say(fmt::format("stage {}: {} right answers to {} questions in {}", stage.name, kept.size(), stage.grpo.questions,
                      file.string()));
      counters_.seconds += watch.elapsed().count();
      counters_.kept = {.drawn = {0}, .unpaid_tokens = {0}, .passed_over = {0}};
      HADAL_RETURN_IF_ERROR(save(optimizer.state(), {}));
    }
    SourceRecipe source;
    source.name = stage.name;
    source.kind = SourceKind::conversations;
    source.paths = {file};
    kept_.clear();
    HADAL_ASSIGN(auto opened, open_source(source, recipe_.seed, filter_));
    kept_.push_back(std::move(opened));
    return Done{};
  }
  Mixture mixture_of_kept(const StageRecipe& stage) const {
    Mixture mixture = mixture_of(stage);
    mixture.sources = kept_;
    mixture.weights = mixture.weights_at_end = {1.0};
    return mixture;
  }

  Status reinforce_step(const StageRecipe& stage, Optimizer& optimizer, ReinforcementStage& reinforcement,
                        Stopwatch& watch, Progress& progress) {
    const double share = share_done(stage, counters_);
    const double factor = learning_rate_factor(stage.schedule, share + half_step(stage, 0));
    const auto check = [&](double loss, double norm) -> Status {
      if (!std::isfinite(loss) || !std::isfinite(norm)) return not_finite(loss);
      return Done{};
    };
    std::map<std::string, double> accuracy;
    if (measures_answers() && counters_.stage_steps % recipe_.eval_every == 0) {
      HADAL_ASSIGN(accuracy, measure(reinforcement));
    }
    CurriculumState curriculum = counters_.curriculum;
    const Stopwatch of_step;
    HADAL_ASSIGN(ReinforcementStep step,
                 reinforcement.step(counters_.stage_steps, optimizer, factor, curriculum, check));
    counters_.curriculum = std::move(curriculum);
    StepMetrics m{.stage = stage.name,
                  .loss = step.loss,
                  .gradient_norm = step.gradient_norm,
                  .learning_rate = factor * stage.optimizer.learning_rate,
                  .reinforcement = std::move(step.metrics)};
    measure_load(step.expert_load, m);
    m.reinforcement->held_out_accuracy = std::move(accuracy);
    count_step(step.tokens, m);
    const ReinforcementMetrics& r = *m.reinforcement;
    // Drawn tokens take the forward third; prompts that are answered and the reference's pass are not counted.
    const double learned = static_cast<double>(step.tokens), drawn = r.rollout_tokens_per_second * r.rollout_seconds;
    measure_rate(learned, (learned + drawn / 3) * training_flops_per_token(model_->config(), r.answer_tokens), of_step,
                 m);
    return record_step(stage, m, watch, progress);
  }

  bool measures_answers() const { return recipe_.eval_every > 0 && !held_out_.files().empty(); }

  Result<std::map<std::string, double>> measure(ReinforcementStage& reinforcement) {
    return measure_answers(reinforcement, held_out_,
                           answers_folder() / fmt::format("step-{:09}.jsonl", counters_.step));
  }

  // At the end of a stage: a line of metrics that has no step of its own.
  Status log_answers(const StageRecipe& stage, ReinforcementStage& reinforcement) {
    if (!measures_answers()) return Done{};
    StepMetrics m{.step = counters_.step, .tokens = counters_.tokens, .stage = stage.name};
    const Stopwatch watch;
    HADAL_ASSIGN(m.reinforcement.emplace().held_out_accuracy, measure(reinforcement));
    m.seconds = counters_.seconds += watch.elapsed().count();
    say(fmt::format("stage {}: {:.1f} % of the held-out questions are answered right", stage.name,
                    100 * mean_of(m.reinforcement->held_out_accuracy)));
    return log_->append(m);
  }

  // Half of a step's share of the stage; `tokens` 0: not known before.
  static double half_step(const StageRecipe& stage, std::size_t tokens) {
    if (stage.tokens > 0 && tokens > 0) return 0.5 * static_cast<double>(tokens) / static_cast<double>(stage.tokens);
    return stage.steps > 0 ? 0.5 / static_cast<double>(stage.steps) : 1e-4;
  }

  void take_loss(const StepMetrics& m) {
    if (m.has_loss()) smooth_loss_ = smooth_loss_ == 0 ? m.loss : 0.95 * smooth_loss_ + 0.05 * m.loss;
    if (!m.held_out.empty()) held_out_loss_ = mean_of(m.held_out);
  }

  void show(const StageRecipe& stage, const StepMetrics& m, Progress& progress) {
    take_loss(m);
    std::string note = fmt::format("step {}  loss {:.4f}", m.step, smooth_loss_);
    if (held_out_loss_ > 0) note += fmt::format("  held out {:.4f}", held_out_loss_);
    note += fmt::format("  {:.0f} tokens/s  {:.0f} GFLOP/s", m.tokens_per_second, m.gflops);
    if (m.reinforcement)
      note += fmt::format("  reward {:.3f}  right {:.1f} %", m.reinforcement->reward, 100 * m.reinforcement->accuracy);
    if (m.max_load > 0) note += fmt::format("  load {:.2f}", m.max_load);
    progress.update(static_cast<std::uint64_t>(1e6 * std::min(1.0, share_done(stage, counters_))), note);
  }

  Error not_finite(double loss) const {
    std::string where = "the loss";
    for (const ParameterSlot& slot : model_->slots()) {
      const auto gradient = model_->gradients().subspan(static_cast<std::size_t>(slot.offset),
                                                        static_cast<std::size_t>(slot.tensor.elements()));
      if (std::all_of(gradient.begin(), gradient.end(), [](float g) { return std::isfinite(g); })) continue;
      where = "the gradient of " + slot.tensor.name;
      break;
    }
    const auto checkpoints = list_checkpoints(recipe_.work);
    return Error{
        ErrorKind::invalid,
        fmt::format("step {}: expected finite numbers, found loss {} and {} not finite; the last good checkpoint "
                    "is {}",
                    counters_.step + 1, loss, where, checkpoints.empty() ? "none" : checkpoints.back().string())};
  }

  Status save(const OptimizerState& optimizer, std::span<const float> reference) {
    HADAL_RETURN_IF_ERROR(write_training_checkpoint(checkpoint_path(recipe_.work, counters_.step), *model_, tokenizer_,
                                                    optimizer, reference, counters_, fingerprint_,
                                                    recipe_.temperature));
    remove_old_checkpoints(recipe_.work, recipe_.keep_checkpoints);
    return Done{};
  }

  Result<TrainingSummary> finish() {
    HADAL_RETURN_IF_ERROR(write_model(recipe_.output, *model_, tokenizer_, recipe_.temperature));
    TrainingSummary summary{.steps = counters_.step,
                            .tokens = counters_.tokens,
                            .seconds = counters_.seconds,
                            .loss = smooth_loss_,
                            .held_out = mean_of(held_out_.losses(*model_))};
    HADAL_RETURN_IF_ERROR(write_report(recipe_, model_->config()));
    say(fmt::format("wrote {} and {}", recipe_.output.string(), (recipe_.work / "report.html").string()));
    return summary;
  }

  const Recipe& recipe_;
  const TrainingOptions& options_;
  ThreadPool pool_;
  Compute compute_;
  std::optional<WorkFolder> folder_;  // none: a dry run
  std::filesystem::path checkpoint_;  // that the run goes on from; empty: it begins
  QuestionFilter filter_;
  std::vector<std::unique_ptr<DataSource>> sources_;
  std::vector<std::unique_ptr<DataSource>> kept_;  // of a stage of rejection sampling
  TokenizerFiles tokenizer_;
  std::unique_ptr<ExampleEncoder> encoder_;
  HeldOut held_out_;
  std::unique_ptr<TrainingModel> model_;
  std::string fingerprint_;
  RunCounters counters_;
  std::unique_ptr<OptimizerState> restored_;  // of a checkpoint, or of the stage before
  std::vector<float> reference_;              // of a checkpoint; parameters at the beginning of a stage that averages
  std::unique_ptr<MetricsLog> log_;
  RecentLoad recent_load_;
  double smooth_loss_ = 0, held_out_loss_ = 0;
};

}  // namespace

double training_flops_per_token(const ModelConfig& config, double mean_context) {
  const double embedding = static_cast<double>(config.vocab_size) * config.hidden_size;
  // A tied table is counted once by count_parameters and is multiplied as the head; an untied one twice, read once.
  const double multiplied =
      static_cast<double>(count_parameters(config).active) - (config.tie_word_embeddings ? 0 : embedding);
  const double attention = 2.0 * config.num_hidden_layers * config.num_attention_heads * mean_context *
                           (config.qk_head_dim() + config.value_head_dim());
  return 6 * multiplied + 3 * attention;
}

Result<TrainingSummary> run_training(const Recipe& recipe, const TrainingOptions& options) {
  return TrainingRun(recipe, options).run();
}

}  // namespace hadal
