#pragma once

#include <string>

namespace mobilevd {

/// Cores worth computing on: those whose cpufreq cpuinfo_max_freq is within 80 % of the fastest one
/// (a phone's little cores slow a parallel loop down), or all when the kernel does not say; never
/// more than this process may use. `cpu_folder` is /sys/devices/system/cpu except in tests.
int performance_core_count(const std::string& cpu_folder = "/sys/devices/system/cpu");

/// Sets the size of ExecuTorch's pool, which kernels and delegates share in the whole process. 0
/// means performance_core_count(), but leaves alone a size that was asked for before and a pool in
/// use. Loaded programs hold on to the pool, so changing it while a Stage lives throws Error, also
/// when another thread has it.
void set_threads(int threads);

/// The size of the pool now.
int thread_count();

/// Counts living Stages, for the check above.
class StageLease {
 public:
  StageLease();
  ~StageLease();
  StageLease(const StageLease&) = delete;
  StageLease& operator=(const StageLease&) = delete;
};

}  // namespace mobilevd
