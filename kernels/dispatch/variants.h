#pragma once

#include <type_traits>

#include "mobilevd/kernels/dispatch.h"
#include "mobilevd/kernels/half.h"

// What a translation unit of an ISA offers, or null in a build without it:
//   IF_AVX2(&kGroupNormSiluAvx2)
#if defined(MOBILEVD_KERNELS_HAVE_AVX2)
#define MOBILEVD_IF_AVX2(variant) (variant)
#else
#define MOBILEVD_IF_AVX2(variant) nullptr
#endif
#if defined(MOBILEVD_KERNELS_HAVE_AVX512)
#define MOBILEVD_IF_AVX512(variant) (variant)
#else
#define MOBILEVD_IF_AVX512(variant) nullptr
#endif
#if defined(MOBILEVD_KERNELS_HAVE_AVX512_VNNI)
#define MOBILEVD_IF_AVX512_VNNI(variant) (variant)
#else
#define MOBILEVD_IF_AVX512_VNNI(variant) nullptr
#endif
#if defined(MOBILEVD_KERNELS_HAVE_NEON)
#define MOBILEVD_IF_NEON(variant) (variant)
#else
#define MOBILEVD_IF_NEON(variant) nullptr
#endif
#if defined(MOBILEVD_KERNELS_HAVE_NEON_DOTPROD)
#define MOBILEVD_IF_NEON_DOTPROD(variant) (variant)
#else
#define MOBILEVD_IF_NEON_DOTPROD(variant) nullptr
#endif
#if defined(MOBILEVD_KERNELS_HAVE_NEON_I8MM)
#define MOBILEVD_IF_NEON_I8MM(variant) (variant)
#else
#define MOBILEVD_IF_NEON_I8MM(variant) nullptr
#endif

namespace mobilevd::kernels {

/// What last_isa() says from now on, in this thread.
void note_isa(Isa isa);

/// A kernel's variants, null where it has none. `scalar` is always there.
template <typename Variant>
struct Variants {
  const Variant* scalar;
  const Variant* avx2 = nullptr;
  const Variant* avx512 = nullptr;
  const Variant* avx512_vnni = nullptr;
  const Variant* neon = nullptr;
  const Variant* neon_dotprod = nullptr;
  const Variant* neon_i8mm = nullptr;

  /// The one for the ISA in use, or the next below that exists.
  const Variant& chosen() const {
    // In the order of Isa. A build has one family only, so the walk down never meets the other's.
    const Variant* const by_isa[] = {scalar, avx2,         avx512,   avx512_vnni,
                                     neon,   neon_dotprod, neon_i8mm};
    int i = static_cast<int>(isa());
    while (by_isa[i] == nullptr) --i;
    note_isa(static_cast<Isa>(i));
    return *by_isa[i];
  }
};

/// The member of a variant for activations stored as T and weights stored as W.
template <typename T, typename W = T, typename Variant>
constexpr const auto& for_storage(const Variant& variant) {
  if constexpr (std::is_same_v<T, Half>) {
    return variant.f16;
  } else if constexpr (std::is_same_v<W, Half>) {
    return variant.f32_f16;
  } else {
    return variant.f32;
  }
}

}  // namespace mobilevd::kernels
