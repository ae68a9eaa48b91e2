// What every kernel call needs to know of where it runs: which threads, which
// instruction set, which arithmetic. Passed by reference down from the engine or
// the trainer; kernels keep no state of their own.
#pragma once

#include "base/thread_pool.h"

namespace hadal {

// exact: stored weights in float32, every sum in an order that depends neither on the batch nor on threads nor on the
//        instruction set. fast: bf16 products with float32 sums (see docs/numerics.md for the measured distance).
enum class Arithmetic { exact, fast };

enum class Isa { portable, avx2, avx512 };

struct KernelTable;  // kernels/simd/kernel_table.h

struct Compute {
  ThreadPool* pool;
  Arithmetic arithmetic;
  const KernelTable* kernels;  // of one Isa
};

Isa best_isa();                                                 // that this processor can run
const char* isa_name(Isa isa);                                  // "portable", "avx2", "avx512"
const KernelTable* kernels_for(Isa isa);                        // null: this processor cannot run it
Compute make_compute(ThreadPool& pool, Arithmetic arithmetic);  // with the best Isa

}  // namespace hadal
