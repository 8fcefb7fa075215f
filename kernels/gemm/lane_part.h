#pragma once

#include <cstddef>

namespace mobilevd::kernels {

/// The part of the work of one lane: some units (what they are is the kernel's affair), counted
/// over the whole batch, times some panels of 16 output channels.
struct LanePart {
  std::ptrdiff_t unit_begin, unit_end;
  std::ptrdiff_t panel_begin, panel_end;
  float* scratch;
};

}  // namespace mobilevd::kernels
