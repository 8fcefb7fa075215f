#include "runtime/executorch_log.h"

#include <executorch/runtime/platform/platform.h>

#include <cstdio>
#include <mutex>
#include <string_view>

namespace mobilevd {
namespace {

std::mutex mutex;
std::string last_error;  // guarded by mutex
bool echo_log = false;

/// Whether an error only says where an earlier one came up: what a program's run logs after its
/// kernel or delegate has said what is wrong.
bool only_says_where(std::string_view message) {
  for (const std::string_view start :
       {"KernelCall failed at ", "CALL_DELEGATE execute failed at ", "arg "}) {
    if (message.substr(0, start.size()) == start) return true;
  }
  return false;
}

void emit(et_timestamp_t /*timestamp*/, et_pal_log_level_t level, const char* file,
          const char* /*function*/, std::size_t line, const char* message, std::size_t length) {
  const std::lock_guard<std::mutex> lock(mutex);
  const bool error = level == kError || level == kFatal;
  if (error && (last_error.empty() || !only_says_where({message, length}))) {
    last_error.assign(message, length);
  }
  // A fatal message comes just before an abort: it is always shown.
  if (echo_log || level == kFatal) {
    std::fprintf(stderr, "executorch %c %s:%zu: %.*s\n", static_cast<char>(level), file, line,
                 static_cast<int>(length), message);
  }
}

}  // namespace

void capture_executorch_log(bool echo) {
  echo_log = echo;
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(emit, "mobilevd"));
}

std::string last_executorch_error() {
  const std::lock_guard<std::mutex> lock(mutex);
  std::string text = last_error.empty() ? "" : " (ExecuTorch: " + last_error + ")";
  last_error.clear();
  return text;
}

}  // namespace mobilevd
