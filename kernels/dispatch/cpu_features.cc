#include "dispatch/cpu_features.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace mobilevd::kernels {
namespace {

#if defined(__x86_64__) || defined(__i386__)
// Bits of CPUID and XCR0: Intel SDM volume 2A (CPUID) and volume 1, chapter 13 (XSAVE).
bool system_saves(unsigned state) {
  constexpr unsigned kOsxsave = 1u << 27;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kOsxsave) == 0) return false;
  unsigned xcr0_low, xcr0_high;
  __asm__("xgetbv" : "=a"(xcr0_low), "=d"(xcr0_high) : "c"(0));
  return (xcr0_low & state) == state;
}

bool cpu_has_avx2() {
  constexpr unsigned kFma = 1u << 12, kAvx = 1u << 28, kF16c = 1u << 29, kAvx2 = 1u << 5;
  constexpr unsigned kNeeded = kFma | kAvx | kF16c, kXmmAndYmm = 0x6;
  unsigned a, b, c, d;
  return system_saves(kXmmAndYmm) && __get_cpuid(1, &a, &b, &c, &d) && (c & kNeeded) == kNeeded &&
         __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & kAvx2) != 0;
}

bool cpu_has_avx512(bool vnni) {
  constexpr unsigned kF = 1u << 16, kDq = 1u << 17, kBw = 1u << 30, kVl = 1u << 31;
  constexpr unsigned kNeeded = kF | kDq | kBw | kVl, kVnni = 1u << 11;
  constexpr unsigned kXmmYmmMasksZmm = 0xE6;
  unsigned a, b, c, d;
  return cpu_has_avx2() && system_saves(kXmmYmmMasksZmm) &&
         __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & kNeeded) == kNeeded &&
         (!vnni || (c & kVnni) != 0);
}

bool cpu_has(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return cpu_has_avx2();
    case Isa::kAvx512:
      return cpu_has_avx512(false);
    case Isa::kAvx512Vnni:
      return cpu_has_avx512(true);
    default:
      return false;
  }
}
#elif defined(__aarch64__) && defined(__linux__)
// Bits of AT_HWCAP and AT_HWCAP2, fixed by the kernel's ABI (Documentation/arch/arm64/elf_hwcaps);
// spelled out because older C libraries lack the newer names.
bool cpu_has(Isa isa) {
  constexpr unsigned long kAsimd = 1ul << 1, kAsimdHalf = 1ul << 10, kAsimdDot = 1ul << 20;
  constexpr unsigned long kI8mm = 1ul << 13;  // in AT_HWCAP2
  const auto has = [](unsigned long bits) { return (getauxval(AT_HWCAP) & bits) == bits; };
  switch (isa) {
    case Isa::kNeon:
      return has(kAsimd);
    case Isa::kNeonDotprod:
      return has(kAsimd | kAsimdHalf | kAsimdDot);
    case Isa::kNeonI8mm:
      return has(kAsimd | kAsimdHalf | kAsimdDot) && (getauxval(AT_HWCAP2) & kI8mm) != 0;
    default:
      return false;
  }
}
#elif defined(__aarch64__)
bool cpu_has(Isa isa) { return isa == Isa::kNeon; }  // part of the architecture
#else
bool cpu_has(Isa) { return false; }
#endif

}  // namespace

bool cpu_supports(Isa isa) { return isa == Isa::kScalar || cpu_has(isa); }

}  // namespace mobilevd::kernels
