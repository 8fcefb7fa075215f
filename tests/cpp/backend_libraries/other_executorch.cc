// Made for an ExecuTorch with a function that this one does not have.
namespace executorch::runtime {
int register_backend_as_of_2_0();
}

namespace {
[[maybe_unused]] const int registered = executorch::runtime::register_backend_as_of_2_0();
}
