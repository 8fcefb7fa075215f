#pragma once

#include <executorch/runtime/backend/interface.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace mobilevd::testing {

/// A delegate whose output is the first bytes of its first input; compiled from "throw", it throws.
class CopyBackend final : public executorch::runtime::BackendInterface {
 public:
  bool is_available() const override { return std::getenv("NO_COPY_DEVICE") == nullptr; }

  executorch::runtime::Result<executorch::runtime::DelegateHandle*> init(
      executorch::runtime::BackendInitContext& /*context*/,
      executorch::runtime::FreeableBuffer* processed,
      executorch::runtime::ArrayRef<executorch::runtime::CompileSpec> /*specs*/) const override {
    const bool throws = processed->size() >= 5 && std::memcmp(processed->data(), "throw", 5) == 0;
    processed->Free();
    return throws ? const_cast<CopyBackend*>(this) : nullptr;
  }

  executorch::runtime::Error execute(
      executorch::runtime::BackendExecutionContext& /*context*/,
      executorch::runtime::DelegateHandle* handle,
      executorch::runtime::Span<executorch::runtime::EValue*> arguments) const override {
    if (handle != nullptr) throw std::runtime_error("the device\nis lost");
    const auto in = arguments[0]->toTensor();
    auto out = arguments[arguments.size() - 1]->toTensor();
    if (in.nbytes() < out.nbytes()) return executorch::runtime::Error::InvalidArgument;
    std::memcpy(out.mutable_data_ptr(), in.const_data_ptr(), out.nbytes());
    return executorch::runtime::Error::Ok;
  }
};

}  // namespace mobilevd::testing
