// A second copy of a backend that is there: ExecuTorch keeps the first and says nothing.
#include "copy_backend.h"

namespace {
mobilevd::testing::CopyBackend backend;
[[maybe_unused]] const auto registered =
    executorch::runtime::register_backend({"XnnpackBackend", &backend});
}  // namespace
