#pragma once

#include <stdexcept>
#include <string>

namespace mobilevd {

/// The one exception of the runtime. what() is one clear line: what is wrong and what to do.
class Error : public std::runtime_error {
 public:
  enum class Kind {
    kData,       ///< a bad file, bundle, image or number; a full disk (exit code 1)
    kUsage,      ///< a bad flag or argument (exit code 2)
    kCancelled,  ///< the progress callback asked to stop (exit code 130)
  };

  explicit Error(const std::string& what, Kind kind = Kind::kData)
      : std::runtime_error(what), kind_(kind) {}

  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

}  // namespace mobilevd
