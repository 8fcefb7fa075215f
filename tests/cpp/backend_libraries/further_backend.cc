// A backend library as it should be: one backend more.
#include "copy_backend.h"

namespace {
mobilevd::testing::CopyBackend backend;
[[maybe_unused]] const auto registered =
    executorch::runtime::register_backend({"CopyBackend", &backend});
}  // namespace
