#pragma once

#include <string>
#include <vector>

namespace mobilevd {

/// Loads a shared library that registers further ExecuTorch backends in static initialisers: a
/// Vulkan runtime, a vendor's delegate. Before the programs that need it. A library that is loaded
/// already is accepted when it registered something.
///
/// It is tried in a child process first, since a library that carries an ExecuTorch of its own
/// aborts the process that loads it. Throws Error, saying which of these it was: not loadable, made
/// for another ExecuTorch, ends the process, registers nothing further.
void load_backend_library(const std::string& path);

/// Names of the registered kernels (with duplicates removed) and backends, sorted.
std::vector<std::string> registered_ops();
std::vector<std::string> registered_backends();

/// Whether a registered backend finds what it runs on: a driver, a chip.
bool backend_is_available(const std::string& name);

/// What to do about a backend that is registered and not available, for a message; may be empty.
std::string how_to_make_available(const std::string& name);

/// What to do about a backend that a program needs and that is not registered, for a message.
std::string how_to_get_backend(const std::string& name);

}  // namespace mobilevd
