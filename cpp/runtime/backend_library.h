#pragma once

#include <string>
#include <vector>

namespace mobilevd {

/// Loads a shared library that registers a further ExecuTorch backend (a delegate made outside
/// this build), for the life of the process. Throws Error when it can't be loaded or registers no
/// further backend.
void load_backend_library(const std::string& path);

/// Names registered with ExecuTorch in this process, sorted: ops ("aten::add.out",
/// "mobilevd::temporal_attention.out") and backends ("XnnpackBackend").
std::vector<std::string> registered_ops();
std::vector<std::string> registered_backends();

}  // namespace mobilevd
