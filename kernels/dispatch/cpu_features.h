#pragma once

#include "mobilevd/kernels/dispatch.h"

namespace mobilevd::kernels {

/// Whether this CPU and operating system run code of `isa`.
bool cpu_supports(Isa isa);

}  // namespace mobilevd::kernels
