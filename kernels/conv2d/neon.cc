// NEON, part of every AArch64 CPU.
#include "simd/neon.h"

#include "conv2d/direct_conv_inl.h"
#include "conv2d/strided_conv_inl.h"
#include "conv2d/winograd_conv_inl.h"

namespace mobilevd::kernels {
namespace {

template <typename T, typename W>
constexpr Conv2dMethods<T, W> kMethods = {winograd_conv<Neon, T, W>, strided_conv<Neon, T, W>,
                                          direct_conv<Neon, T, W>};

}  // namespace

const Conv2dVariant kConv2dNeon = {kMethods<float, float>, kMethods<float, Half>,
                                   kMethods<Half, Half>};

}  // namespace mobilevd::kernels
