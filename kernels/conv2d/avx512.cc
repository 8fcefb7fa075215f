// AVX-512. Compiled with its flags (CMakeLists.txt); called only where the CPU has it.
#include "simd/avx512.h"

#include "conv2d/direct_conv_inl.h"
#include "conv2d/strided_conv_inl.h"
#include "conv2d/winograd_conv_inl.h"

namespace mobilevd::kernels {
namespace {

template <typename T, typename W>
constexpr Conv2dMethods<T, W> kMethods = {winograd_conv<Avx512, T, W>, strided_conv<Avx512, T, W>,
                                          direct_conv<Avx512, T, W>};

}  // namespace

const Conv2dVariant kConv2dAvx512 = {kMethods<float, float>, kMethods<float, Half>,
                                     kMethods<Half, Half>};

}  // namespace mobilevd::kernels
