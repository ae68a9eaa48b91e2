// What every kernel call needs to know of where it runs: which threads, which
// instruction set, which arithmetic. Passed by reference down from the engine or
// the trainer; kernels keep no state of their own.
#pragma once

#include <string>

#include "base/result.h"
#include "base/thread_pool.h"

namespace hadal {

// exact: stored weights in float32, every sum in an order that depends neither on the batch nor on threads nor on the
//        instruction set. fast: bf16 products with float32 sums (see docs/numerics.md for the measured distance).
enum class Arithmetic { exact, fast };

enum class Isa { portable, avx2, avx512, avx512_bf16 };
inline constexpr Isa kIsas[] = {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16};

struct KernelTable;  // kernels/kernel_table.h

struct Compute {
  ThreadPool* pool;
  Arithmetic arithmetic;
  const KernelTable* kernels;  // of one Isa
};

Isa best_isa();                                                 // the fastest that this processor can run
const char* isa_name(Isa isa);                                  // "portable", "avx2", "avx512", "avx512_bf16"
const KernelTable* kernels_for(Isa isa);                        // null: this processor cannot run it
Compute make_compute(ThreadPool& pool, Arithmetic arithmetic);  // with the best Isa

// With the Isa that is asked for, in tests and benchmarks; ErrorKind::unsupported where the processor lacks it.
Result<Compute> make_compute(ThreadPool& pool, Arithmetic arithmetic, Isa isa);

// What the kernels ask of a processor, and what one has; the names are those of /proc/cpuinfo.
struct Processor {
  bool avx2 = false, fma = false, f16c = false;
  bool avx512f = false, avx512bw = false, avx512vl = false, avx512dq = false, avx512_bf16 = false, avx512_vnni = false;
  bool intel = false;  // vdpbf16ps takes as long as four multiply-adds of floats there (docs/kernels.md)
};
Processor this_processor();
Isa best_isa(const Processor& processor);

// The table of `isa`, or an error that names everything it needs and what `processor` lacks of it.
Result<const KernelTable*> require_kernels(Isa isa, const Processor& processor);

}  // namespace hadal
