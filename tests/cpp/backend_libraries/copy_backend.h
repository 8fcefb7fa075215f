#pragma once

#include <executorch/runtime/backend/interface.h>

#include <cstring>

namespace mobilevd::testing {

/// A delegate whose outputs are the first bytes of its first input.
class CopyBackend final : public executorch::runtime::BackendInterface {
 public:
  bool is_available() const override { return true; }

  executorch::runtime::Result<executorch::runtime::DelegateHandle*> init(
      executorch::runtime::BackendInitContext& /*context*/,
      executorch::runtime::FreeableBuffer* processed,
      executorch::runtime::ArrayRef<executorch::runtime::CompileSpec> /*specs*/) const override {
    processed->Free();
    return nullptr;
  }

  executorch::runtime::Error execute(
      executorch::runtime::BackendExecutionContext& /*context*/,
      executorch::runtime::DelegateHandle* /*handle*/,
      executorch::runtime::Span<executorch::runtime::EValue*> arguments) const override {
    const auto in = arguments[0]->toTensor();
    auto out = arguments[arguments.size() - 1]->toTensor();
    if (in.nbytes() < out.nbytes()) return executorch::runtime::Error::InvalidArgument;
    std::memcpy(out.mutable_data_ptr(), in.const_data_ptr(), out.nbytes());
    return executorch::runtime::Error::Ok;
  }
};

}  // namespace mobilevd::testing
