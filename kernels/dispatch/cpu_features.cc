#include "dispatch/cpu_features.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace mobilevd::kernels {
namespace {

#if defined(__x86_64__) || defined(__i386__)
// Bits of CPUID and XCR0: Intel SDM volume 2A (CPUID) and volume 1, chapter 13 (XSAVE).
bool cpu_has_avx2() {
  constexpr unsigned kFma = 1u << 12, kOsxsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29;
  constexpr unsigned kAvx2 = 1u << 5;
  constexpr unsigned kXmmAndYmm = 0x6;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
  const unsigned needed = kFma | kOsxsave | kAvx | kF16c;
  if ((c & needed) != needed) return false;
  unsigned xcr0_low, xcr0_high;  // the system must save the wide registers, too
  __asm__("xgetbv" : "=a"(xcr0_low), "=d"(xcr0_high) : "c"(0));
  if ((xcr0_low & kXmmAndYmm) != kXmmAndYmm) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & kAvx2) != 0;
}
#else
bool cpu_has_avx2() { return false; }
#endif

}  // namespace

bool cpu_supports(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return cpu_has_avx2();
  }
  return false;
}

}  // namespace mobilevd::kernels
