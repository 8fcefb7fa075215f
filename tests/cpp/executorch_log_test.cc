#include "runtime/executorch_log.h"

#include <executorch/runtime/platform/log.h>
#include <gtest/gtest.h>

namespace mobilevd {
namespace {

/// What ExecuTorch logs when one of our kernels refuses its arguments.
void log_failed_kernel() {
  ET_LOG(Error, "KernelCall failed at instruction 0:3 in operator mobilevd::linear.out: 0x12");
  ET_LOG(Error, "arg %u with type id %u", 0u, 1u);
  ET_LOG(Error, "arg %u with type id %u", 1u, 4u);
}

TEST(ExecutorchLog, KeepsWhatIsWrongNotWhere) {
  capture_executorch_log(false);
  last_executorch_error();
  ET_LOG(Error, "an older one");
  ET_LOG(Error, "Check failed (status.ok()): linear: lanes must be 1..1024");
  log_failed_kernel();
  EXPECT_EQ(last_executorch_error(),
            " (ExecuTorch: Check failed (status.ok()): linear: lanes must be 1..1024)");
  EXPECT_EQ(last_executorch_error(), "");
  log_failed_kernel();  // with nothing said before, better than nothing
  EXPECT_NE(last_executorch_error().find("KernelCall failed"), std::string::npos);
}

}  // namespace
}  // namespace mobilevd
