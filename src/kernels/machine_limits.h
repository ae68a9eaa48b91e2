// What this machine could do at best, measured now: the limits that speeds are reported beside.
//
// Machines are shared and their clocks move, so a limit counts only beside a figure of the same run. Rates come from
// register-only loops of the widest instructions, the bandwidth from reading a block that no cache holds.
// Threads: uses the Compute's pool; one call at a time.
#pragma once

#include "kernels/compute.h"

namespace hadal {

struct MachineLimits {
  double read_bytes_per_second = 0;
  double f32_flops = 0, bf16_flops = 0;  // multiply and add are two operations
};

// Takes about a third of a second and 256 MiB; the best of several windows.
MachineLimits measure_machine_limits(const Compute& compute);

}  // namespace hadal
