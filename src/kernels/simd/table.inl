// Fills the table of one instruction set. Included last by simd/isa_*.cc, which
// defines HADAL_SIMD_TABLE and HADAL_SIMD_ISA.

namespace hadal {

extern const KernelTable HADAL_SIMD_TABLE;
const KernelTable HADAL_SIMD_TABLE = {
    .isa = HADAL_SIMD_ISA,
    .gemm_f32 = HADAL_SIMD_NAMESPACE::gemm<float, false>,
    .gemm_wide_f32 = HADAL_SIMD_NAMESPACE::gemm<float, true>,
#if defined(HADAL_SIMD_BF16)
    .gemm_bf16 = HADAL_SIMD_NAMESPACE::gemm<std::uint16_t, false>,
    .gemm_f32_bf16 = nullptr,
    .gemm_wide_bf16 = HADAL_SIMD_NAMESPACE::gemm<std::uint16_t, true>,
#else
    .gemm_bf16 = nullptr,
    .gemm_f32_bf16 = HADAL_SIMD_NAMESPACE::gemm<std::uint16_t, false>,
    .gemm_wide_bf16 = nullptr,
#endif
    .narrow_row = HADAL_SIMD_NAMESPACE::narrow_row,
    .narrow_scaled_row = HADAL_SIMD_NAMESPACE::narrow_scaled_row,
    .widen_row = HADAL_SIMD_NAMESPACE::widen_row,
    .pack_rows_f32 = HADAL_SIMD_NAMESPACE::pack_rows<float>,
    .pack_rows_bf16 = HADAL_SIMD_NAMESPACE::pack_rows<std::uint16_t>,
    .interleave_f32 = HADAL_SIMD_NAMESPACE::interleave_f32,
    .interleave_bf16 = HADAL_SIMD_NAMESPACE::interleave_bf16,
    .stored = HADAL_SIMD_NAMESPACE::stored_kernels,
    .quantise = HADAL_SIMD_NAMESPACE::quantise_kernel,
    .code_row = HADAL_SIMD_NAMESPACE::code_row,
    .code_units = HADAL_SIMD_NAMESPACE::code_units,
    .attention_f32 = HADAL_SIMD_NAMESPACE::attention<float>,
    .attention_fast = HADAL_SIMD_NAMESPACE::attention<HADAL_SIMD_NAMESPACE::Factor>,
    .attention_backward_f32 = HADAL_SIMD_NAMESPACE::attention_backward<float>,
    .attention_backward_fast = HADAL_SIMD_NAMESPACE::attention_backward<HADAL_SIMD_NAMESPACE::Factor>,
    .absorbed_f32 = HADAL_SIMD_NAMESPACE::absorbed<float>,
    .absorbed_bf16 = HADAL_SIMD_NAMESPACE::absorbed<std::uint16_t>,
    .rms_norm = HADAL_SIMD_NAMESPACE::rms_norm,
    .rms_norm_backward = HADAL_SIMD_NAMESPACE::rms_norm_backward,
    .swiglu = HADAL_SIMD_NAMESPACE::swiglu,
    .swiglu_backward = HADAL_SIMD_NAMESPACE::swiglu_backward,
    .add_scaled = HADAL_SIMD_NAMESPACE::add_scaled,
    .scale = HADAL_SIMD_NAMESPACE::scale_row,
    .dot = HADAL_SIMD_NAMESPACE::dot,
    .sigmoid = HADAL_SIMD_NAMESPACE::sigmoid,
    .softmax = HADAL_SIMD_NAMESPACE::softmax,
    .busy_f32 = HADAL_SIMD_NAMESPACE::busy_f32,
    .busy_bf16 = HADAL_SIMD_NAMESPACE::busy_bf16,
    .read_all = HADAL_SIMD_NAMESPACE::read_all,
};

}  // namespace hadal
