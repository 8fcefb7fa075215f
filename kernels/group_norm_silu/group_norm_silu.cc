#include "mobilevd/kernels/group_norm_silu.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "dispatch/arguments.h"
#include "dispatch/variants.h"
#include "group_norm_silu/group_norm_silu_call.h"
#include "group_norm_silu/group_norm_silu_internal.h"

namespace mobilevd::kernels {
namespace {

constexpr Variants<GroupNormSiluVariant> kVariants = {
    &kGroupNormSiluScalar,
    MOBILEVD_IF_AVX2(&kGroupNormSiluAvx2),
    MOBILEVD_IF_AVX512(&kGroupNormSiluAvx512),
    nullptr,
    MOBILEVD_IF_NEON(&kGroupNormSiluNeon),
};

template <typename T, typename P>
Status run(const T* x, const P* weight, const P* bias, T* out, const GroupNormSiluShape& s,
           float eps, bool silu, ParallelFor parallel_for) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  if (s.batch < 0) return invalid_argument("group_norm_silu: batch must be >= 0");
  if (s.channels < 1) return invalid_argument("group_norm_silu: channels must be >= 1");
  if (s.positions < 0) return invalid_argument("group_norm_silu: positions must be >= 0");
  if (s.num_groups < 1 || s.channels % s.num_groups != 0) {
    return invalid_argument("group_norm_silu: num_groups must be >= 1 and divide channels");
  }
  if (!(eps > 0) || !std::isfinite(eps)) {
    return invalid_argument("group_norm_silu: eps must be positive and finite");
  }
  if (s.batch == 0 || s.positions == 0) return ok_status();

  std::int64_t bytes;
  if (!multiply(s.channels, s.positions, &bytes) || !multiply(bytes, s.batch, &bytes) ||
      !multiply(bytes, sizeof(T), &bytes)) {
    return invalid_argument("group_norm_silu: sizes overflow 64 bits");
  }
  if (x == nullptr || out == nullptr) {
    return invalid_argument("group_norm_silu: x and out must not be null");
  }
  if (static_cast<const void*>(x) != out && overlap(x, bytes, out, bytes)) {
    return invalid_argument("group_norm_silu: out must be x or not overlap it");
  }
  const auto param_bytes = s.channels * static_cast<std::int64_t>(sizeof(P));
  if (overlap(out, bytes, weight, param_bytes) || overlap(out, bytes, bias, param_bytes)) {
    return invalid_argument("group_norm_silu: out must not overlap weight or bias");
  }
  const GroupNormSiluVariant& v = kVariants.chosen();
  const auto of = [](auto type, const auto& f32, const auto& f16) -> const auto& {
    if constexpr (std::is_same_v<decltype(type), float>) {
      return f32;
    } else {
      return f16;
    }
  };
  GroupNormSiluCall<T, P>(x, weight, bias, out, s, eps, silu, of(T(), v.f32, v.f16),
                          of(P(), v.coefficients_f32, v.coefficients_f16))
      .run(parallel_for);
  return ok_status();
}

}  // namespace

Status group_norm_silu(const float* x, const float* weight, const float* bias, float* out,
                       const GroupNormSiluShape& shape, float eps, bool silu,
                       ParallelFor parallel_for) {
  return run(x, weight, bias, out, shape, eps, silu, parallel_for);
}

Status group_norm_silu(const Half* x, const float* weight, const float* bias, Half* out,
                       const GroupNormSiluShape& shape, float eps, bool silu,
                       ParallelFor parallel_for) {
  return run(x, weight, bias, out, shape, eps, silu, parallel_for);
}

Status group_norm_silu(const Half* x, const Half* weight, const Half* bias, Half* out,
                       const GroupNormSiluShape& shape, float eps, bool silu,
                       ParallelFor parallel_for) {
  return run(x, weight, bias, out, shape, eps, silu, parallel_for);
}

}  // namespace mobilevd::kernels
