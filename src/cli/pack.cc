// `hadal pack MODEL.gguf OUT.gguf`: the same weights in the order in which products take them.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/interleaved_rows.h"
#include "base/mapped_file.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "chat/model_files.h"
#include "cli/shared_options.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"

namespace hadal {
namespace {

constexpr const char* kExamples =
    "\nThe file is as large as before and holds the same values, sixteen rows of each matrix side by side: on cores "
    "with\n"
    "AVX-512 answers come faster (docs/kernels.md). Only hadal reads it; keep the file it was made from for others.\n"
    "q4_0, q5_0, q8_0, q4_k, q5_k and q6_k are packed, other types and what is looked up by row stay as they are.\n"
    "\nExamples:\n"
    "  hadal pack lite.gguf lite.packed.gguf\n"
    "  hadal pack model-00001-of-00004.gguf model.packed.gguf    one file of all parts\n"
    "  hadal run lite.packed.gguf -p \"What is MLA?\"\n";

struct PackOptions {
  std::string model, out;
  int threads = 0;
};

// The embedding is looked up row by row; of attn_kv_b and its halves absorbed attention takes a part transposed.
bool taken_by_rows(std::string_view name) {
  constexpr std::array<std::string_view, 3> kHeads = {".attn_kv_b.weight", ".attn_k_b.weight", ".attn_v_b.weight"};
  return name == "token_embd.weight" ||
         std::any_of(kHeads.begin(), kHeads.end(), [name](std::string_view end) { return name.ends_with(end); });
}

bool can_pack(std::string_view name, const TensorView& t) {
  return !t.interleaved && can_interleave(t.dtype) && t.shape.size() >= 2 && !taken_by_rows(name) &&
         t.shape[t.shape.size() - 2] % kTileRows == 0;
}

class Packer {
 public:
  Packer(const Gguf& from, GgufWriter& to, ThreadPool& pool, const CancelFlag& cancel, Progress& bar)
      : from_(from), to_(to), pool_(pool), cancel_(cancel), bar_(bar) {}

  Status write(std::string_view name, bool packed) {
    const TensorView t = *from_.find(name);
    const std::size_t row_bytes = size_bytes(t.dtype, static_cast<std::size_t>(t.shape.back()));
    const std::size_t piece = packed ? kTileRows * row_bytes * kTilesAtOnce : kCopiedAtOnce;
    for (std::size_t at = 0; at < t.bytes.size(); at += piece) {
      const auto bytes = t.bytes.subspan(at, std::min(piece, t.bytes.size() - at));
      HADAL_RETURN_IF_ERROR(to_.append(packed ? tiles_of(t.dtype, bytes, row_bytes) : bytes));
      release_pages(bytes);
      bar_.update(done_ += bytes.size());
      if (cancel_.requested()) return Error{ErrorKind::cancelled, "pack: stopped, nothing is left"};
    }
    return Done{};
  }

 private:
  static constexpr std::size_t kTilesAtOnce = 256, kCopiedAtOnce = 16 << 20;

  std::span<const std::byte> tiles_of(DType dtype, std::span<const std::byte> rows, std::size_t row_bytes) {
    tiles_.resize(rows.size());
    const std::size_t tile_bytes = kTileRows * row_bytes;
    pool_.parallel_for(static_cast<int>(rows.size() / tile_bytes), [&](int tile, int) {
      const std::size_t at = static_cast<std::size_t>(tile) * tile_bytes;
      interleave_rows(dtype, rows.data() + at, row_bytes, tiles_.data() + at);
    });
    return tiles_;
  }

  const Gguf& from_;
  GgufWriter& to_;
  ThreadPool& pool_;
  const CancelFlag& cancel_;
  Progress& bar_;
  std::uint64_t done_ = 0;
  std::vector<std::byte> tiles_;
};

Status run_pack(const PackOptions& options) {
  HADAL_ASSIGN(const ModelLocation location, find_model(options.model));
  if (location.path.extension() != ".gguf")
    return Error{
        ErrorKind::unsupported,
        fmt::format("{}: expected a .gguf file (hadal quantize makes one), found a directory", location.path.string())};
  HADAL_ASSIGN(const Gguf source, Gguf::open(location.path));
  GgufKeys keys;
  for (const auto& [key, value] : source.values())
    if (!key.starts_with("split.")) keys.copy(key, value);
  std::vector<TensorDeclaration> declarations;
  std::uint64_t total = 0, packed_bytes = 0;
  for (const std::string& name : source.names()) {
    const TensorView t = *source.find(name);
    const bool packed = can_pack(name, t);
    declarations.push_back({name, t.dtype, t.shape, packed || t.interleaved});
    total += t.bytes.size();
    if (packed) packed_bytes += t.bytes.size();
  }
  if (packed_bytes == 0)
    return Error{
        ErrorKind::invalid,
        fmt::format("{}: expected a matrix of q4_0, q5_0, q8_0, q4_k, q5_k or q6_k whose rows are no tiles yet, "
                    "found none",
                    options.model)};
  CancelFlag cancel;
  const InterruptGuard guard(cancel);
  const Stopwatch watch;
  HADAL_ASSIGN(GgufWriter writer, GgufWriter::create(options.out, keys, declarations));
  Progress bar(ProgressSink::to(stderr), "packing", total);
  ThreadPool pool(options.threads);
  Packer packer(source, writer, pool, cancel, bar);
  for (const TensorDeclaration& t : declarations)
    HADAL_RETURN_IF_ERROR(packer.write(t.name, t.interleaved && !source.find(t.name)->interleaved));
  HADAL_RETURN_IF_ERROR(writer.commit());
  bar.finish();
  write_out(fmt::format("{}: {} of {} packed, {:.0f} MB a second\n", options.out,
                        format_bytes(static_cast<double>(packed_bytes)), format_bytes(static_cast<double>(total)),
                        static_cast<double>(total) / watch.elapsed().count() * 1e-6));
  return Done{};
}

}  // namespace

void add_pack_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<PackOptions>();
  CLI::App* command = app.add_subcommand("pack", "A GGUF file in the order in which hadal's products take it");
  command->footer(kExamples);
  command->add_option("MODEL", options->model, "A .gguf file, or the first of several")->required();
  add_gguf_out(*command, options->out);
  command->add_option("--threads", options->threads, "Threads; 0 takes all")->check(CLI::Range(0, 1024));
  command->callback([options, &result] { result.status = run_pack(*options); });
}

}  // namespace hadal
