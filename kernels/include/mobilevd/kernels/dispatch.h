#pragma once

#include <cstddef>

#include "mobilevd/kernels/export.h"
#include "mobilevd/kernels/status.h"

namespace mobilevd::kernels {

/// Instruction sets a kernel may be compiled for, worst first within a family. A kernel without a
/// variant for an ISA uses that of the next one below: float32 arithmetic gains nothing from
/// kNeonDotprod, for instance, but int8 does.
enum class Isa {
  kScalar,       ///< portable C++, the reference
  kAvx2,         ///< x86-64 with AVX2, FMA and F16C
  kAvx512,       ///< and AVX-512 F, BW, DQ, VL
  kAvx512Vnni,   ///< and AVX-512 VNNI (int8 dot products)
  kNeon,         ///< every AArch64 CPU (armv8.0-a)
  kNeonDotprod,  ///< and FP16 and DotProd (optional in armv8.2-a; Cortex-A75/A76 and newer)
  kNeonI8mm,     ///< and I8MM (int8 matrix products; Cortex-A510/A710/X2 and newer)
};

/// "scalar", "avx2", "avx512", "avx512_vnni", "neon", "neon_dotprod", "neon_i8mm": the names
/// MOBILEVD_ISA and set_isa() take.
MOBILEVD_KERNELS_API const char* isa_name(Isa isa);

/// The ISAs this build has and this CPU runs, worst first; never empty ("scalar" is always
/// there). Points to a static array of `*count` entries.
MOBILEVD_KERNELS_API const Isa* available_isas(std::size_t* count);

/// The ISA that kernels use now. Chosen at first use: MOBILEVD_ISA if it is set to an available
/// name, else the best one. A MOBILEVD_ISA that is unknown or unsupported does not go unseen:
/// every kernel then returns kUnsupported with the message of startup_status() until set_isa()
/// succeeds.
MOBILEVD_KERNELS_API Isa isa();

/// The ISA of the variant that the calling thread's last kernel call ran on: isa(), or the next
/// below that this kernel has a variant for. kScalar before the first one.
MOBILEVD_KERNELS_API Isa last_isa();

/// Forces an ISA by name for the whole process (thread-safe; calls under way finish on the old
/// one). kInvalidArgument for an unknown name, kUnsupported for one that this CPU or build does
/// not have; both messages list what there is, and the ISA in use stays as it was.
MOBILEVD_KERNELS_API Status set_isa(const char* name);

/// kOk, or what is wrong with MOBILEVD_ISA.
MOBILEVD_KERNELS_API Status startup_status();

}  // namespace mobilevd::kernels
