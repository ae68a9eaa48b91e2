#include "kernels/compute.h"

#include <span>

#include "kernels/kernel_table.h"

namespace hadal {
namespace {

struct Feature {
  const char* name;
  bool Processor::*of;
};

// As the options of simd/isa_*.cc in CMakeLists.txt.
constexpr Feature kAvx2Features[] = {{"avx2", &Processor::avx2}, {"fma", &Processor::fma}, {"f16c", &Processor::f16c}};
constexpr Feature kAvx512Features[] = {
    {"avx512f", &Processor::avx512f},
    {"avx512bw", &Processor::avx512bw},
    {"avx512vl", &Processor::avx512vl},
    {"avx512dq", &Processor::avx512dq},
    {"fma", &Processor::fma},
    {"f16c", &Processor::f16c},
    {"avx512_vnni", &Processor::avx512_vnni},
    {"avx512_bf16", &Processor::avx512_bf16},  // the last: only isa_avx512_bf16.cc
};

struct Choice {
  const KernelTable* kernels;
  std::span<const Feature> needs;
};

Choice choice_of(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return {&kPortableKernels, {}};
    case Isa::avx2:
      return {&kAvx2Kernels, kAvx2Features};
    case Isa::avx512:
      return {&kAvx512Kernels, std::span(kAvx512Features).first(std::size(kAvx512Features) - 1)};
    case Isa::avx512_bf16:
      return {&kAvx512Bf16Kernels, kAvx512Features};
  }
  return {&kPortableKernels, {}};
}

}  // namespace

Isa best_isa() {
  return best_isa(this_processor());
}

Isa best_isa(const Processor& processor) {
  if (!processor.intel && require_kernels(Isa::avx512_bf16, processor).ok()) return Isa::avx512_bf16;
  for (const Isa isa : {Isa::avx512, Isa::avx2})
    if (require_kernels(isa, processor).ok()) return isa;
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
    case Isa::avx512_bf16:
      return "avx512_bf16";
  }
  return "?";
}

const KernelTable* kernels_for(Isa isa) {
  const auto kernels = require_kernels(isa, this_processor());
  return kernels.ok() ? *kernels : nullptr;
}

Compute make_compute(ThreadPool& pool, Arithmetic arithmetic) {
  return {&pool, arithmetic, kernels_for(best_isa())};
}

Result<Compute> make_compute(ThreadPool& pool, Arithmetic arithmetic, Isa isa) {
  HADAL_ASSIGN(const KernelTable* kernels, require_kernels(isa, this_processor()));
  return Compute{&pool, arithmetic, kernels};
}

Processor this_processor() {
  __builtin_cpu_init();
  return {.avx2 = __builtin_cpu_supports("avx2") != 0,
          .fma = __builtin_cpu_supports("fma") != 0,
          .f16c = __builtin_cpu_supports("f16c") != 0,
          .avx512f = __builtin_cpu_supports("avx512f") != 0,
          .avx512bw = __builtin_cpu_supports("avx512bw") != 0,
          .avx512vl = __builtin_cpu_supports("avx512vl") != 0,
          .avx512dq = __builtin_cpu_supports("avx512dq") != 0,
          .avx512_bf16 = __builtin_cpu_supports("avx512bf16") != 0,
          .avx512_vnni = __builtin_cpu_supports("avx512vnni") != 0,
          .intel = __builtin_cpu_is("intel") != 0};
}

Result<const KernelTable*> require_kernels(Isa isa, const Processor& processor) {
  const Choice choice = choice_of(isa);
  std::string needed, missing;
  for (const Feature& feature : choice.needs) {
    needed += std::string(" ") + feature.name;
    if (!(processor.*feature.of)) missing += std::string(" ") + feature.name;
  }
  if (missing.empty()) return choice.kernels;
  return Error{ErrorKind::unsupported, std::string("instruction set ") + isa_name(isa) + ": expected a processor with" +
                                           needed + ", this one lacks" + missing};
}

}  // namespace hadal
