#pragma once

namespace mobilevd::kernels {

/// Widest head that the attention kernels take: it bounds their scratch arrays.
constexpr int kMaxHeadDim = 128;

}  // namespace mobilevd::kernels
