#pragma once

#include <string>

namespace mobilevd {

/// Takes ExecuTorch's own log off stderr for the whole process: its last error line that says what
/// is wrong, not where, goes into our messages instead. With `echo` everything is printed as well.
/// For programs of our own; a library loaded into somebody's Python leaves the log alone.
void capture_executorch_log(bool echo);

/// " (ExecuTorch: ...)" with the last captured error, then forgets it; empty when there is none.
std::string last_executorch_error();

}  // namespace mobilevd
