#pragma once

#include <cstddef>

namespace mobilevd::kernels {

/// Most floats of scratch that a kernel may ask a thread for.
constexpr std::size_t kMaxThreadScratch = 320 * 1024;

/// `floats` <= kMaxThreadScratch floats of this thread's own, 64-byte aligned and uninitialised, or
/// null where there is no memory. Valid until the thread's next call; freed when the thread ends.
///
/// Why not the stack: a thread of Android's has 1 MB of it. Why not a thread_local array: the
/// loader takes that from the stack of every thread, too.
float* thread_scratch(std::size_t floats);

}  // namespace mobilevd::kernels
