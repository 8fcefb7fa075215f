#pragma once

#include <cstddef>

namespace mobilevd::bindings {

/// At least `bytes` of 64-byte aligned memory of the calling thread, kept between calls (fresh
/// pages for every call would cost more than some kernels) until the thread ends. std::bad_alloc
/// when there is none; bytes = 0 gives null.
void* thread_scratch(std::size_t bytes);

}  // namespace mobilevd::bindings
