#include "kernels/compute.h"

#include "kernels/kernel_table.h"

namespace hadal {

Isa best_isa() {
  __builtin_cpu_init();
  if (kernels_for(Isa::avx512)) return Isa::avx512;
  if (kernels_for(Isa::avx2)) return Isa::avx2;
  return Isa::portable;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
}

const KernelTable* kernels_for(Isa isa) {
  __builtin_cpu_init();
  switch (isa) {
    case Isa::portable:
      return &kPortableKernels;
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kAvx2Kernels : nullptr;
    case Isa::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("fma")
                 ? &kAvx512Kernels
                 : nullptr;
  }
  return nullptr;
}

Compute make_compute(ThreadPool& pool, Arithmetic arithmetic) {
  return {&pool, arithmetic, kernels_for(best_isa())};
}

}  // namespace hadal
