// The kernels for AVX2. See simd/vec.h for what may be included here.
#define HADAL_SIMD_AVX2
#define HADAL_SIMD_NAMESPACE simd_avx2
#define HADAL_SIMD_TABLE kAvx2Kernels
#define HADAL_SIMD_ISA Isa::avx2

#include "base/interleaved_rows.h"
#include "kernels/kernel_table.h"
#include "kernels/simd/vec.h"
#include "kernels/simd/codes.h"

#include "kernels/simd/gemm.inl"
#include "kernels/simd/rows.inl"

#include "kernels/simd/block_types.inl"
#include "kernels/simd/quantise.inl"
#include "kernels/simd/activations.inl"
#include "kernels/simd/units.inl"
#include "kernels/simd/stored.inl"
#include "kernels/simd/interleaved.inl"
#include "kernels/simd/stored_table.inl"

#include "kernels/simd/attention.inl"
#include "kernels/simd/limits.inl"
#include "kernels/simd/table.inl"
