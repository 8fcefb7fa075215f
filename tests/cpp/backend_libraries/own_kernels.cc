// As a library with an ExecuTorch of its own inside: registers a kernel that is there, which
// aborts.
#include <executorch/runtime/kernel/operator_registry.h>

namespace {
const executorch::runtime::Kernel kernel(
    executorch::runtime::get_registered_kernels()[0].name_, executorch::runtime::KernelKey{},
    [](executorch::runtime::KernelRuntimeContext&,
       executorch::runtime::Span<executorch::runtime::EValue*>) {});
[[maybe_unused]] const auto first = executorch::runtime::register_kernels({&kernel, 1});
[[maybe_unused]] const auto second = executorch::runtime::register_kernels({&kernel, 1});
}  // namespace
