#pragma once

#include <optional>
#include <string>

namespace mobilevd {

struct HostInfo {
  std::string arch;  ///< as uname says: "x86_64", "aarch64"
  std::string cpu;   ///< model name, or the SoC's on a phone; "unknown" when the kernel hides it
  int cores = 0;     ///< online cores, also those this process may not use
};

HostInfo host_info();

/// The CPU's features as the kernel lists them ("flags", "Features"); empty when it does not.
std::string cpu_features();

/// Most memory this process ever had resident, in MiB (VmHWM: getrusage's figure is inherited from
/// the parent across exec). 0 when the kernel does not say.
double peak_rss_mb();

/// The most since the last call of new_peak_rss(), which begins anew; on kernels that cannot, since
/// the process began.
double recent_peak_rss_mb();
void new_peak_rss();

/// Hottest of the kernel's CPU and SoC thermal zones, in degrees Celsius.
std::optional<double> cpu_temperature_c(const std::string& folder = "/sys/class/thermal");

}  // namespace mobilevd
