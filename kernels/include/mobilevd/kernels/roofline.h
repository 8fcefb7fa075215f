#pragma once

#include "mobilevd/kernels/export.h"
#include "mobilevd/kernels/parallel.h"

namespace mobilevd::kernels {

/// What this machine gives now, measured with the ISA in use: the two bounds a benchmark compares a
/// kernel with. Run them in the same process, next to what is compared: shared machines drift.

/// Multiply-adds on registers, in GFLOP/s (an FMA counts 2), over about `seconds` of time.
MOBILEVD_KERNELS_API double measure_fma_gflops(double seconds,
                                               ParallelFor parallel_for = serial_for);

/// Memory traffic in GB/s of out = a + b + c, the mix of attention: three arrays of `bytes` read,
/// one written past the caches, all four counted once. The arrays are the caller's, 64-byte
/// aligned, `bytes` a multiple of 64 and large enough to be in no cache.
MOBILEVD_KERNELS_API double measure_stream_gbps(const float* a, const float* b, const float* c,
                                                float* out, long long bytes, double seconds,
                                                ParallelFor parallel_for = serial_for);

}  // namespace mobilevd::kernels
