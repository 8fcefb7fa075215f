// AVX2 + FMA + F16C. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "simd/avx2.h"

#include "conv2d/direct_conv_inl.h"
#include "conv2d/strided_conv_inl.h"
#include "conv2d/winograd_conv_inl.h"

namespace mobilevd::kernels {
namespace {

template <typename T, typename W>
constexpr Conv2dMethods<T, W> kMethods = {winograd_conv<Avx2, T, W>, strided_conv<Avx2, T, W>,
                                          direct_conv<Avx2, T, W>};

}  // namespace

const Conv2dVariant kConv2dAvx2 = {kMethods<float, float>, kMethods<float, Half>,
                                   kMethods<Half, Half>};

}  // namespace mobilevd::kernels
