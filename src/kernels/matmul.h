// Matrix products with packed weights: one, or many of different sizes in one
// parallel loop (the experts of a layer), and their gradients.
//
// Activations are float32 rows on both sides; in fast arithmetic the left operand
// is rounded to bf16 on the way in. With packed weights each output element sums
// its products in ascending order of the input index, whatever else is in the
// call; the order of stored rows in fast arithmetic depends on how many rows of x
// meet them (docs/numerics.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "kernels/compute.h"

namespace hadal {

// Neighbouring rows of W as a file stores them, in blocks (base/block_formats.h). Whoever made it keeps the memory.
struct StoredRows {
  DType dtype;
  const std::byte* data;  // [outputs] rows of row_bytes
  std::size_t row_bytes;
  int first_output, outputs;  // where they stand in W; first_output is a multiple of 32
  bool transposed = false;    // the file's rows are inputs of W: [inputs] rows of `outputs` values
  bool interleaved = false;   // tiles of sixteen rows (base/interleaved_rows.h); `outputs` a multiple of 16
};

// A weight matrix W [outputs, inputs]: in panels of 32 outputs (kernel_table.h), float32 or bf16 by arithmetic; or
// stored rows, which are unpacked while they are used.
//
// Weights that are stored as small numbers times the scale of their block (fp8) would lose half a unit of bf16 if scale
// and number were packed as one. Such a matrix keeps the numbers, which bf16 holds exactly, and takes the scales into
// the left operand before that is rounded; there is one set of them for as many panels as lie in one row of blocks.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  ~PackedMatrix();
  PackedMatrix(PackedMatrix&& other) noexcept;
  PackedMatrix& operator=(PackedMatrix&& other) noexcept;

  void allocate(Arithmetic arithmetic, int outputs, int inputs);  // all zero
  // The shape alone, until allocate() or refer() gives it contents.
  void declare(Arithmetic arithmetic, int outputs, int inputs);
  void allocate() { allocate(arithmetic_, outputs_, inputs_); }
  // Takes W from where it lies; outputs that no piece holds stay untouched by products. In fast arithmetic a few rows
  // are multiplied in 8 bits, more of them too if the type has tiles, else in bf16; exact arithmetic gives the bits of
  // packed float32 weights.
  void refer(Arithmetic arithmetic, int outputs, int inputs, std::span<const StoredRows> pieces);
  void refer(std::span<const StoredRows> pieces) { refer(arithmetic_, outputs_, inputs_, pieces); }
  std::span<const StoredRows> stored() const noexcept { return stored_; }  // empty: packed
  bool empty() const noexcept { return outputs_ == 0; }
  int outputs() const noexcept { return outputs_; }
  int inputs() const noexcept { return inputs_; }
  Arithmetic arithmetic() const noexcept { return arithmetic_; }
  int panels() const noexcept;
  std::size_t bytes() const noexcept;  // of the panels, or of the stored rows
  std::size_t panel_bytes() const noexcept;
  const std::byte* panel(int index) const noexcept { return data_ + static_cast<std::size_t>(index) * panel_bytes(); }
  std::byte* panel(int index) noexcept { return data_ + static_cast<std::size_t>(index) * panel_bytes(); }

  // Weights of the panels from `first_panel` on, up to the next panel with scales of its own, are packed divided by
  // their input's scale [inputs]. bf16 only, and before packing.
  void set_scales(int first_panel, std::vector<float> scales);
  // The scales of a panel, and how many panels from it on they hold for; null: none, for all panels.
  struct PanelScales {
    const float* scales;
    int panels;
  };
  PanelScales scales_from(int panel) const;

  // Packs rows [first_row, first_row + rows) from `from` [rows, inputs]; first_row is a multiple of 32.
  void pack_rows(const KernelTable& kernels, int first_row, int rows, const float* from, std::ptrdiff_t stride);

 private:
  std::byte* data_ = nullptr;
  int outputs_ = 0, inputs_ = 0;
  Arithmetic arithmetic_ = Arithmetic::exact;
  std::vector<StoredRows> stored_;
  std::vector<std::vector<float>> scales_P_;  // by panel; empty: those of the panel before. No panels: no scales
};

struct PackJob {
  const float* from;      // [outputs, inputs], or [inputs, outputs] when transposed
  std::ptrdiff_t stride;  // from row to row
  PackedMatrix* to;       // allocated
  bool transposed = false;
  int first_output = 0;  // where in `to` the first output goes (a multiple of 32): gate and up lie in one matrix
  int outputs = 0;       // how many; 0: all of `to`
  int first_input = 0;   // transposed only: where the first input goes (a multiple of 32)
  int inputs = 0;        // transposed only: how many; 0: all of `to`
};
void pack(const Compute& compute, std::span<const PackJob> jobs);
void pack_here(const Compute& compute, const PackJob& job);  // on the calling thread alone, as matmul_here

struct MatmulJob {
  const PackedMatrix* weights;  // [N, K]
  const float* x;
  std::ptrdiff_t x_stride;  // [M, K]
  float* y;
  std::ptrdiff_t y_stride;               // [M, N]
  int rows;                              // M
  const std::int32_t* x_rows = nullptr;  // row i of the product is row x_rows[i] of x; null: row i
  bool accumulate = false;               // y += instead of y =
};
// y = x W^T for every job.
void matmul(const Compute& compute, std::span<const MatmulJob> jobs);
void matmul(const Compute& compute, const MatmulJob& job);
// The same on the calling thread alone: for a thread that, inside a parallel loop, computes several steps of its rows.
void matmul_here(const Compute& compute, const MatmulJob& job);

struct WeightGradientJob {
  const float* dy;
  std::ptrdiff_t dy_stride;  // [T, N]
  const float* x;
  std::ptrdiff_t x_stride;  // [T, K]
  float* dw;
  std::ptrdiff_t dw_stride;   // [N, K]
  int rows, outputs, inputs;  // T, N, K
  const std::int32_t* dy_rows = nullptr;
  const std::int32_t* x_rows = nullptr;
};
// dw += dy^T x for every job.
void weight_gradient(const Compute& compute, std::span<const WeightGradientJob> jobs);

}  // namespace hadal
