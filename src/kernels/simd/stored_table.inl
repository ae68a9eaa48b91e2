// The kernels for stored weights by type, and those that make such weights. Included by simd/isa_*.cc.

namespace hadal::HADAL_SIMD_NAMESPACE {

template <class T>
constexpr decltype(StoredKernels::dot_units) units_dot_or_none() {
  if constexpr (InUnits<T>::kExists)
    return stored_dot<T, true>;
  else
    return nullptr;
}

template <class T>
inline constexpr StoredKernels kStored = {
    .values = stored_values<T>,
    .panel_f32 = stored_panel<T, float>,
    .panel_bf16 = stored_panel<T, std::uint16_t>,
    .dot = stored_dot<T, false>,
    .dot_units = units_dot_or_none<T>(),
    .dot_interleaved = interleaved_dot_or_none<T>(),
    .interleave = make_tile_or_none<T>(),
};

const StoredKernels* stored_kernels(DType dtype) {
  switch (dtype) {
    case DType::q4_0:
      return &kStored<Q40>;
    case DType::q4_1:
      return &kStored<Q41>;
    case DType::q5_0:
      return &kStored<Q50>;
    case DType::q5_1:
      return &kStored<Q51>;
    case DType::q8_0:
      return &kStored<Q80>;
    case DType::q2_k:
      return &kStored<Q2K>;
    case DType::q3_k:
      return &kStored<Q3K>;
    case DType::q4_k:
      return &kStored<Q4K>;
    case DType::q5_k:
      return &kStored<Q5K>;
    case DType::q6_k:
      return &kStored<Q6K>;
    case DType::iq4_nl:
      return &kStored<Iq4Nl>;
    case DType::iq4_xs:
      return &kStored<Iq4Xs>;
    case DType::mxfp4:
      return &kStored<Mxfp4>;
    default:
      return nullptr;
  }
}

Quantise quantise_kernel(DType dtype) {
  switch (dtype) {
    case DType::q4_0:
      return quantise<Q40>;
    case DType::q4_1:
      return quantise<Q41>;
    case DType::q5_0:
      return quantise<Q50>;
    case DType::q5_1:
      return quantise<Q51>;
    case DType::q8_0:
      return quantise<Q80>;
    case DType::q2_k:
      return quantise<Q2K>;
    case DType::q3_k:
      return quantise<Q3K>;
    case DType::q4_k:
      return quantise<Q4K>;
    case DType::q5_k:
      return quantise<Q5K>;
    case DType::q6_k:
      return quantise<Q6K>;
    default:
      return nullptr;
  }
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
