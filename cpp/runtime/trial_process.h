#pragma once

#include <functional>
#include <string>

namespace mobilevd {

/// How a function ended in a process of its own.
struct Trial {
  bool survived;       ///< it returned
  std::string ending;  ///< else how: "Aborted", "exit code 3"
  std::string said;    ///< the last line it wrote to stderr, at most 300 bytes; may be empty
};

/// Runs `work` in a forked child, whose effects, output and death do not touch this process. Ends
/// it after `seconds`. `work` must not need other threads of this process: a child has none.
/// Throws Error when no process can be made.
Trial try_in_child(const std::function<void()>& work, unsigned seconds);

}  // namespace mobilevd
