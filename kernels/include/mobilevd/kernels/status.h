#pragma once

namespace mobilevd::kernels {

enum class StatusCode {
  kOk = 0,
  kInvalidArgument,  ///< a null pointer, a size out of range, overlapping buffers
  kUnsupported,      ///< valid, but not on this CPU or in this build
};

/// Result of a kernel call. `message` is a static string (never null, never owned), so that a
/// Status costs nothing and crosses shared-library and thread borders freely.
struct [[nodiscard]] Status {
  StatusCode code = StatusCode::kOk;
  const char* message = "";

  constexpr bool ok() const { return code == StatusCode::kOk; }
};

constexpr Status ok_status() { return {}; }
constexpr Status invalid_argument(const char* message) {
  return {StatusCode::kInvalidArgument, message};
}
constexpr Status unsupported(const char* message) { return {StatusCode::kUnsupported, message}; }

}  // namespace mobilevd::kernels
