#include "kernels/matmul.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/interleaved_rows.h"
#include "kernels/kernel_table.h"
#include "kernels/quantiser.h"
#include "kernels/scratch.h"

namespace hadal {
namespace {

int depth_of(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::exact ? 1 : 2;
}
std::size_t element_bytes(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::exact ? 4 : 2;
}
int padded_inputs(Arithmetic arithmetic, int inputs) {
  const int depth = depth_of(arithmetic);
  return (inputs + depth - 1) / depth * depth;
}

// A part of one job that one thread computes.
struct Part {
  int job, row, rows, column, columns;
};

// Reused from call to call: the lists are built on the calling thread only.
std::vector<Part>& parts_of_call() {
  thread_local std::vector<Part> parts;
  parts.clear();
  return parts;
}

// Rows in blocks that fit the second-level cache beside a panel; few rows are split by outputs instead, so that a
// decode step streams different weights on each core.
constexpr int kRowBlock = 96, kManyRows = 48, kManyColumns = 1024;

void add_parts(int job, int rows, int columns, int threads, std::vector<Part>& parts) {
  const int row_block = rows >= kManyRows ? kRowBlock : rows;
  int column_block = kManyColumns;
  if (rows < kManyRows) {
    const int share = (columns / (2 * threads) + 127) / 128 * 128;  // two parts a thread even out a busy neighbour
    column_block = std::clamp(share, 128, kManyColumns);
  }
  for (int row = 0; row < rows; row += row_block)
    for (int column = 0; column < columns; column += column_block)
      parts.push_back({job, row, std::min(row_block, rows - row), column, std::min(column_block, columns - column)});
}

// Up to this many rows, 8-bit products that unpack a row of W once for eight of x beat panels, whose making must be
// spread over many rows (docs/kernels.md). Tiles, of the types that have them, beat panels for any number; kTilesMade
// of them lie in the second-level cache beside x.
constexpr int kFewRows = 16, kTilesMade = 16;

const float* source_row(const MatmulJob& job, int row) {
  return job.x + (job.x_rows ? job.x_rows[row] : row) * job.x_stride;
}

std::size_t aligned(std::size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

// The kernel for rows of L and panels of E.
template <class L, class E>
auto product_of(const KernelTable& kernels) {
  if constexpr (std::is_same_v<E, float>)
    return kernels.gemm_f32;
  else if constexpr (std::is_same_v<L, float>)
    return kernels.gemm_f32_bf16;
  else
    return kernels.gemm_bf16;
}

// From row to row of copied rows: floats a cache line further apart, or rows of 1024 floats would share their places in
// the first-level cache.
template <class L>
int copied_stride(const PackedMatrix& w) {
  return padded_inputs(w.arithmetic(), w.inputs()) + (std::is_same_v<L, float> ? 16 : 0);
}

// The rows of x of a part one after another, times `scales` where there are any.
template <class L>
void copy_rows(const KernelTable& kernels, const MatmulJob& job, const Part& part, const float* scales, L* to) {
  const int inputs = job.weights->inputs(), padded = padded_inputs(job.weights->arithmetic(), inputs),
            stride = copied_stride<L>(*job.weights);
  for (int i = 0; i < part.rows; ++i, to += stride) {
    const float* from = source_row(job, part.row + i);
    if constexpr (!std::is_same_v<L, float>) {
      if (scales)
        kernels.narrow_scaled_row(from, scales, inputs, padded, to);
      else
        kernels.narrow_row(from, inputs, padded, to);
    } else {
      if (scales)
        std::transform(from, from + inputs, scales, to, std::multiplies<>());
      else
        std::copy_n(from, inputs, to);
      std::fill(to + inputs, to + padded, 0.0f);
    }
  }
}

// y (+)= x · the rows of W at `rows`, [outputs] of them: where x is many, in tiles made on the way (`tiles` has room
// for kTilesMade of them), whose making takes what two to four groups of eight rows of x do.
void multiply_rows_apart(const KernelTable& kernels, const StoredRows& piece, const std::byte* rows, int outputs,
                         int inputs, const CodedRow* x, int m, float* y, const MatmulJob& job, std::byte* tiles) {
  const StoredKernels& stored = *kernels.stored(piece.dtype);
  const std::size_t row_bytes = piece.row_bytes;
  int done = 0;
  for (int n = 0; m > kFewRows && done + kTileRows <= outputs; done += n) {
    n = std::min((outputs - done) / kTileRows, kTilesMade) * kTileRows;
    for (int row = 0; row < n; row += kTileRows)
      stored.interleave(rows + static_cast<std::size_t>(done + row) * row_bytes, row_bytes,
                        tiles + static_cast<std::size_t>(row) * row_bytes);
    stored.dot_interleaved(tiles, row_bytes, n, inputs, x, m, y + done, job.y_stride, job.accumulate);
  }
  if (done < outputs)
    stored.dot(rows + static_cast<std::size_t>(done) * row_bytes, row_bytes, outputs - done, inputs, x, m, y + done,
               job.y_stride, job.accumulate);
}

// The rows of x in 8 bits, then all outputs of the part that the piece holds.
void run_coded(const KernelTable& kernels, const MatmulJob& job, const Part& part, const StoredRows& piece, int first,
               int outputs) {
  const int inputs = job.weights->inputs();
  const std::size_t padded = static_cast<std::size_t>((inputs + 255) / 256 * 256);
  const std::size_t scale_bytes = padded / 4, row_bytes = padded + 2 * scale_bytes;
  const std::size_t x_bytes = aligned(static_cast<std::size_t>(part.rows) * row_bytes);
  const bool make_tiles = !piece.interleaved && part.rows > kFewRows;
  const StoredKernels& stored = *kernels.stored(piece.dtype);
  const bool units = stored.dot_units && !piece.interleaved && !make_tiles;
  const auto code = units ? kernels.code_units : kernels.code_row;
  std::byte* scratch = thread_scratch(x_bytes + (make_tiles ? kTilesMade * kTileRows * piece.row_bytes : 0));
  CodedRow x[kRowBlock];
  HADAL_CHECK(part.rows <= kRowBlock);
  for (int i = 0; i < part.rows; ++i) {
    std::byte* at = scratch + static_cast<std::size_t>(i) * row_bytes;
    x[i] = {.codes = reinterpret_cast<std::int8_t*>(at),
            .scales = reinterpret_cast<float*>(at + padded),
            .sums = reinterpret_cast<float*>(at + padded + scale_bytes)};
    code(source_row(job, part.row + i), inputs, x[i]);
  }
  const std::byte* rows = piece.data + static_cast<std::size_t>(first - piece.first_output) * piece.row_bytes;
  float* y = job.y + part.row * job.y_stride + first;
  if (piece.interleaved)
    stored.dot_interleaved(rows, piece.row_bytes, outputs, inputs, x, part.rows, y, job.y_stride, job.accumulate);
  else if (units)
    stored.dot_units(rows, piece.row_bytes, outputs, inputs, x, part.rows, y, job.y_stride, job.accumulate);
  else
    multiply_rows_apart(kernels, piece, rows, outputs, inputs, x, part.rows, y, job, scratch + x_bytes);
}

// n rows of a piece to a panel of floats or bf16; types without kernels of their own by their definition.
template <class E>
void unpack_panel(const KernelTable& kernels, const StoredRows& piece, int row, int n, int inputs, E* panel,
                  float* values) {
  constexpr bool kFloat = std::is_same_v<E, float>;
  const std::byte* rows = piece.data + static_cast<std::size_t>(row) * piece.row_bytes;
  if (piece.interleaved) {
    auto* apart = reinterpret_cast<std::byte*>(values);  // rows of blocks are shorter than rows of floats
    for (int i = 0; i < n; ++i)
      extract_row(piece.dtype, rows + static_cast<std::size_t>(i / kTileRows * kTileRows) * piece.row_bytes,
                  piece.row_bytes, i % kTileRows, apart + static_cast<std::size_t>(i) * piece.row_bytes);
    rows = apart;
  }
  if (const StoredKernels* stored = kernels.stored(piece.dtype)) {
    if constexpr (kFloat)
      stored->panel_f32(rows, piece.row_bytes, n, inputs, panel);
    else
      stored->panel_bf16(rows, piece.row_bytes, n, inputs, panel);
    return;
  }
  for (int i = 0; i < n; ++i)
    convert_to_f32(piece.dtype, rows + static_cast<std::size_t>(i) * piece.row_bytes, static_cast<std::size_t>(inputs),
                   values + static_cast<std::ptrdiff_t>(i) * inputs);
  if constexpr (kFloat)
    kernels.pack_rows_f32(values, inputs, n, inputs, panel);
  else
    kernels.pack_rows_bf16(values, inputs, n, inputs, panel);
}

// All of a transposed piece as floats [inputs, outputs of the piece].
void unpack_transposed(const KernelTable& kernels, const StoredRows& piece, int inputs, float* values) {
  for (int i = 0; i < inputs; ++i)
    restore_row(kernels, piece.dtype, piece.data + static_cast<std::size_t>(i) * piece.row_bytes,
                static_cast<std::size_t>(piece.outputs), values + static_cast<std::ptrdiff_t>(i) * piece.outputs);
}

// Panel by panel through the ordinary product.
template <class L, class E>
void run_many_stored(const KernelTable& kernels, const MatmulJob& job, const Part& part, const StoredRows& piece,
                     int first, int outputs) {
  const int inputs = job.weights->inputs(), stride = copied_stride<L>(*job.weights),
            padded = padded_inputs(job.weights->arithmetic(), inputs);
  const std::size_t x_bytes =
                        aligned(static_cast<std::size_t>(part.rows) * static_cast<std::size_t>(stride) * sizeof(L)),
                    panel_bytes = aligned(static_cast<std::size_t>(padded) * kPanelWidth * sizeof(E)),
                    value_bytes = static_cast<std::size_t>(inputs) * 4 *
                                  static_cast<std::size_t>(piece.transposed ? piece.outputs : kPanelWidth);
  std::byte* scratch = thread_scratch(x_bytes + panel_bytes + value_bytes);
  L* x = reinterpret_cast<L*>(scratch);
  E* panel = reinterpret_cast<E*>(scratch + x_bytes);
  float* values = reinterpret_cast<float*>(scratch + x_bytes + panel_bytes);
  copy_rows(kernels, job, part, nullptr, x);
  if (piece.transposed) unpack_transposed(kernels, piece, inputs, values);
  for (int output = 0; output < outputs; output += kPanelWidth) {
    const int n = std::min(kPanelWidth, outputs - output), row = first + output - piece.first_output;
    if (!piece.transposed)
      unpack_panel<E>(kernels, piece, row, n, inputs, panel, values);
    else if constexpr (std::is_same_v<E, float>)
      kernels.interleave_f32(values + row, piece.outputs, nullptr, inputs, n, kPanelWidth, panel);
    else
      kernels.interleave_bf16(values + row, piece.outputs, nullptr, inputs, n, kPanelWidth, panel);
    product_of<L, E>(kernels)(part.rows, n, inputs, x, stride, panel, job.y + part.row * job.y_stride + first + output,
                              job.y_stride, job.accumulate);
  }
}

// Whether so many rows of x are multiplied in 8 bits.
bool in_codes(const KernelTable& kernels, const StoredRows& piece, int rows) {
  if (piece.transposed || !kernels.stored(piece.dtype)) return false;
  return rows <= kFewRows || can_interleave(piece.dtype);
}

template <class L, class E>
void run_stored(const KernelTable& kernels, const MatmulJob& job, const Part& part) {
  for (const StoredRows& piece : job.weights->stored()) {
    const int first = std::max(part.column, piece.first_output),
              last = std::min(part.column + part.columns, piece.first_output + piece.outputs);
    if (first >= last) continue;
    if (!std::is_same_v<E, float> && in_codes(kernels, piece, part.rows))
      run_coded(kernels, job, part, piece, first, last - first);
    else
      run_many_stored<L, E>(kernels, job, part, piece, first, last - first);
  }
}

template <class L, class E>
void run_packed(const KernelTable& kernels, const MatmulJob& job, const Part& part) {
  const PackedMatrix& w = *job.weights;
  const int inputs = w.inputs();
  int columns = 0;
  for (int column = 0; column < part.columns; column += columns) {
    const int panel = (part.column + column) / kPanelWidth;
    const auto [scales, panels] = w.scales_from(panel);
    columns = std::min(panels * kPanelWidth, part.columns - column);
    const L* x;
    std::ptrdiff_t stride;
    const bool apart = job.x_rows && part.rows > 1;
    if (std::is_same_v<L, float> && !apart && !scales && inputs == padded_inputs(w.arithmetic(), inputs)) {
      x = reinterpret_cast<const L*>(source_row(job, part.row));  // as they lie
      stride = job.x_stride;
    } else {
      stride = copied_stride<L>(w);
      L* copied = reinterpret_cast<L*>(
          thread_scratch(static_cast<std::size_t>(part.rows) * static_cast<std::size_t>(stride) * sizeof(L)));
      copy_rows(kernels, job, part, scales, copied);
      x = copied;
    }
    product_of<L, E>(kernels)(part.rows, columns, inputs, x, stride, reinterpret_cast<const E*>(w.panel(panel)),
                              job.y + part.row * job.y_stride + part.column + column, job.y_stride, job.accumulate);
  }
}

template <class L, class E>
void run_part_of(const KernelTable& kernels, const MatmulJob& job, const Part& part) {
  if (job.weights->stored().empty())
    run_packed<L, E>(kernels, job, part);
  else
    run_stored<L, E>(kernels, job, part);
}

void run_part(const KernelTable& kernels, const MatmulJob& job, const Part& part) {
  if (job.weights->arithmetic() == Arithmetic::exact)
    run_part_of<float, float>(kernels, job, part);
  else if (kernels.gemm_f32_bf16)
    run_part_of<float, std::uint16_t>(kernels, job, part);
  else
    run_part_of<std::uint16_t, std::uint16_t>(kernels, job, part);
}

}  // namespace

PackedMatrix::~PackedMatrix() {
  std::free(data_);
}
PackedMatrix::PackedMatrix(PackedMatrix&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      outputs_(other.outputs_),
      inputs_(other.inputs_),
      arithmetic_(other.arithmetic_),
      stored_(std::move(other.stored_)),
      scales_P_(std::move(other.scales_P_)) {}
PackedMatrix& PackedMatrix::operator=(PackedMatrix&& other) noexcept {
  std::swap(data_, other.data_);
  outputs_ = other.outputs_;
  inputs_ = other.inputs_;
  arithmetic_ = other.arithmetic_;
  stored_ = std::move(other.stored_);
  scales_P_ = std::move(other.scales_P_);
  return *this;
}

std::size_t PackedMatrix::panel_bytes() const noexcept {
  return static_cast<std::size_t>(padded_inputs(arithmetic_, inputs_)) * kPanelWidth * element_bytes(arithmetic_);
}
int PackedMatrix::panels() const noexcept {
  return (outputs_ + kPanelWidth - 1) / kPanelWidth;
}
std::size_t PackedMatrix::bytes() const noexcept {
  if (!stored_.empty()) {
    std::size_t sum = 0;
    for (const StoredRows& piece : stored_)
      sum += static_cast<std::size_t>(piece.transposed ? inputs_ : piece.outputs) * piece.row_bytes;
    return sum;
  }
  return static_cast<std::size_t>(panels()) * panel_bytes();
}

void PackedMatrix::allocate(Arithmetic arithmetic, int outputs, int inputs) {
  declare(arithmetic, outputs, inputs);
  data_ = static_cast<std::byte*>(std::aligned_alloc(64, (bytes() + 63) / 64 * 64));
  if (!data_) throw std::bad_alloc();
  std::memset(data_, 0, bytes());
}

void PackedMatrix::refer(Arithmetic arithmetic, int outputs, int inputs, std::span<const StoredRows> pieces) {
  for (const StoredRows& piece : pieces)
    HADAL_CHECK(
        (!piece.interleaved || (can_interleave(piece.dtype) && !piece.transposed && piece.outputs % kTileRows == 0)) &&
        piece.first_output % kPanelWidth == 0 && piece.first_output + piece.outputs <= outputs &&
        piece.row_bytes ==
            size_bytes(piece.dtype, static_cast<std::size_t>(piece.transposed ? piece.outputs : inputs)));
  declare(arithmetic, outputs, inputs);
  stored_.assign(pieces.begin(), pieces.end());
}

void PackedMatrix::declare(Arithmetic arithmetic, int outputs, int inputs) {
  HADAL_CHECK(outputs > 0 && inputs > 0);
  std::free(std::exchange(data_, nullptr));
  arithmetic_ = arithmetic;
  outputs_ = outputs;
  inputs_ = inputs;
  stored_.clear();
  scales_P_.clear();
}

void PackedMatrix::set_scales(int first_panel, std::vector<float> scales) {
  HADAL_CHECK(arithmetic_ == Arithmetic::fast && static_cast<int>(scales.size()) == inputs_);
  scales_P_.resize(static_cast<std::size_t>(panels()));
  scales_P_[static_cast<std::size_t>(first_panel)] = std::move(scales);
}

PackedMatrix::PanelScales PackedMatrix::scales_from(int panel) const {
  if (scales_P_.empty()) return {nullptr, panels()};
  int first = panel, next = panel + 1;
  while (first > 0 && scales_P_[static_cast<std::size_t>(first)].empty()) --first;
  while (next < panels() && scales_P_[static_cast<std::size_t>(next)].empty()) ++next;
  const std::vector<float>& scales = scales_P_[static_cast<std::size_t>(first)];
  return {scales.empty() ? nullptr : scales.data(), next - panel};
}

void PackedMatrix::pack_rows(const KernelTable& kernels, int first_row, int rows, const float* from,
                             std::ptrdiff_t stride) {
  HADAL_CHECK(first_row % kPanelWidth == 0 && first_row + rows <= outputs_);
  std::vector<float> divided;
  for (int row = 0; row < rows; row += kPanelWidth) {
    const int n = std::min(kPanelWidth, rows - row);
    std::byte* to = panel((first_row + row) / kPanelWidth);
    const float* source = from + row * stride;
    if (arithmetic_ == Arithmetic::exact) {
      kernels.pack_rows_f32(source, stride, n, inputs_, reinterpret_cast<float*>(to));
      continue;
    }
    if (const float* scales = scales_from((first_row + row) / kPanelWidth).scales) {
      // The quotient of a product rounded to float32 is off by two units of float32 at most: rounding to bf16 gives the
      // number itself.
      divided.resize(static_cast<std::size_t>(n) * static_cast<std::size_t>(inputs_));
      for (int i = 0; i < n; ++i)
        for (int k = 0; k < inputs_; ++k)
          divided[static_cast<std::size_t>(i) * static_cast<std::size_t>(inputs_) + static_cast<std::size_t>(k)] =
              source[i * stride + k] / scales[k];
      kernels.pack_rows_bf16(divided.data(), inputs_, n, inputs_, reinterpret_cast<std::uint16_t*>(to));
    } else {
      kernels.pack_rows_bf16(source, stride, n, inputs_, reinterpret_cast<std::uint16_t*>(to));
    }
  }
}

namespace {

int outputs_of(const PackJob& job) {
  return job.outputs ? job.outputs : job.to->outputs();
}

// `columns` outputs of a job from `column` on, a multiple of kPanelWidth.
void pack_outputs(const KernelTable& kernels, const PackJob& job, int column, int columns) {
  PackedMatrix& to = *job.to;
  if (!job.transposed) {
    to.pack_rows(kernels, job.first_output + column, columns, job.from + column * job.stride, job.stride);
    return;
  }
  HADAL_CHECK(!to.scales_from(0).scales);  // training has none
  const int inputs = job.inputs ? job.inputs : to.inputs();
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(job.first_input) * kPanelWidth;
  for (const int end = column + columns; column < end; column += kPanelWidth) {
    const int n = std::min(kPanelWidth, end - column);
    std::byte* panel = to.panel((job.first_output + column) / kPanelWidth);
    if (to.arithmetic() == Arithmetic::exact)
      kernels.interleave_f32(job.from + column, job.stride, nullptr, inputs, n, kPanelWidth,
                             reinterpret_cast<float*>(panel) + at);
    else
      kernels.interleave_bf16(job.from + column, job.stride, nullptr, inputs, n, kPanelWidth,
                              reinterpret_cast<std::uint16_t*>(panel) + at);
  }
}

}  // namespace

void pack(const Compute& compute, std::span<const PackJob> jobs) {
  constexpr int kOutputsAtOnce = 8 * kPanelWidth;  // about 100 kB of bf16 at 256 inputs
  auto& parts = parts_of_call();
  for (int j = 0; j < static_cast<int>(jobs.size()); ++j) {
    const int outputs = outputs_of(jobs[static_cast<std::size_t>(j)]);
    for (int column = 0; column < outputs; column += kOutputsAtOnce)
      parts.push_back({j, 0, 0, column, std::min(kOutputsAtOnce, outputs - column)});
  }
  compute.pool->parallel_for(static_cast<int>(parts.size()), [&](int i, int) {
    const Part& part = parts[static_cast<std::size_t>(i)];
    pack_outputs(*compute.kernels, jobs[static_cast<std::size_t>(part.job)], part.column, part.columns);
  });
}

void pack_here(const Compute& compute, const PackJob& job) {
  pack_outputs(*compute.kernels, job, 0, outputs_of(job));
}

void matmul(const Compute& compute, std::span<const MatmulJob> jobs) {
  auto& parts = parts_of_call();
  for (int j = 0; j < static_cast<int>(jobs.size()); ++j) {
    const MatmulJob& job = jobs[static_cast<std::size_t>(j)];
    add_parts(j, job.rows, job.weights->outputs(), compute.pool->threads(), parts);
  }
  compute.pool->parallel_for(static_cast<int>(parts.size()), [&](int i, int) {
    const Part& part = parts[static_cast<std::size_t>(i)];
    run_part(*compute.kernels, jobs[static_cast<std::size_t>(part.job)], part);
  });
}

void matmul(const Compute& compute, const MatmulJob& job) {
  matmul(compute, std::span(&job, 1));
}

void matmul_here(const Compute& compute, const MatmulJob& job) {
  const int block = job.weights->stored().empty() ? job.rows : kRowBlock;  // run_coded has room for no more
  for (int row = 0; row < job.rows; row += block)
    run_part(*compute.kernels, job, {0, row, std::min(block, job.rows - row), 0, job.weights->outputs()});
}

namespace {

// A block of dw, [rows, columns] of a part, from tokens [token, token + t) as operands of E.
template <class E>
void add_token_chunk(const KernelTable& kernels, const WeightGradientJob& job, const Part& part, int token, int t,
                     std::byte* scratch) {
  constexpr bool kFloat = std::is_same_v<E, float>;
  constexpr int kDepth = kFloat ? 1 : 2;
  const int panels = (part.columns + kPanelWidth - 1) / kPanelWidth, padded = (t + kDepth - 1) / kDepth * kDepth;
  const float* dy = job.dy + part.row + (job.dy_rows ? 0 : token * job.dy_stride);
  const float* x = job.x + part.column + (job.x_rows ? 0 : token * job.x_stride);
  const std::int32_t* dy_rows = job.dy_rows ? job.dy_rows + token : nullptr;
  const std::int32_t* x_rows = job.x_rows ? job.x_rows + token : nullptr;
  E* left = reinterpret_cast<E*>(scratch);
  E* right = reinterpret_cast<E*>(
      scratch + aligned(static_cast<std::size_t>(padded) * static_cast<std::size_t>(part.rows) * sizeof(E)));
  const auto interleave = [&](const float* from, std::ptrdiff_t stride, const std::int32_t* rows, int n, int width,
                              E* to) {
    if constexpr (kFloat)
      kernels.interleave_f32(from, stride, rows, t, n, width, to);
    else
      kernels.interleave_bf16(from, stride, rows, t, n, width, to);
  };
  for (int p = 0; p < panels; ++p)
    interleave(x + p * kPanelWidth, job.x_stride, x_rows, std::min(kPanelWidth, part.columns - p * kPanelWidth),
               kPanelWidth, right + static_cast<std::ptrdiff_t>(p) * padded * kPanelWidth);
  float* dw = job.dw + part.row * job.dw_stride + part.column;
  interleave(dy, job.dy_stride, dy_rows, part.rows, part.rows, left);
  if constexpr (kFloat)
    kernels.gemm_wide_f32(part.rows, part.columns, t, left, part.rows, right, dw, job.dw_stride, true);
  else
    kernels.gemm_wide_bf16(part.rows, part.columns, t, left, static_cast<std::ptrdiff_t>(part.rows) * 2, right, dw,
                           job.dw_stride, true);
}

}  // namespace

void weight_gradient(const Compute& compute, std::span<const WeightGradientJob> jobs) {
  // A block of dw stays in registers and the first-level cache while chunks of tokens go by; both operands of a chunk
  // are packed once per block, which costs under a tenth of the products at 128 x 256.
  constexpr int kOutputs = 128, kInputs = 256, kTokens = 256;
  auto& parts = parts_of_call();
  for (int j = 0; j < static_cast<int>(jobs.size()); ++j) {
    const WeightGradientJob& job = jobs[static_cast<std::size_t>(j)];
    if (job.rows == 0) continue;
    for (int row = 0; row < job.outputs; row += kOutputs)
      for (int column = 0; column < job.inputs; column += kInputs)
        parts.push_back(
            {j, row, std::min(kOutputs, job.outputs - row), column, std::min(kInputs, job.inputs - column)});
  }
  const KernelTable& kernels = *compute.kernels;
  const bool floats = compute.arithmetic == Arithmetic::exact || !kernels.gemm_wide_bf16;
  compute.pool->parallel_for(static_cast<int>(parts.size()), [&](int i, int) {
    const Part& part = parts[static_cast<std::size_t>(i)];
    const WeightGradientJob& job = jobs[static_cast<std::size_t>(part.job)];
    const int columns = (part.columns + kPanelWidth - 1) / kPanelWidth * kPanelWidth;
    std::byte* scratch = thread_scratch(
        static_cast<std::size_t>(kTokens) * 4 *
        static_cast<std::size_t>(aligned(static_cast<std::size_t>(part.rows)) + static_cast<std::size_t>(columns)));
    for (int token = 0; token < job.rows; token += kTokens) {
      const int t = std::min(kTokens, job.rows - token);
      if (floats)
        add_token_chunk<float>(kernels, job, part, token, t, scratch);
      else
        add_token_chunk<std::uint16_t>(kernels, job, part, token, t, scratch);
    }
  });
}

}  // namespace hadal
