#include "runtime/host.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>

namespace mobilevd {
namespace {

// Value of "key : value" or "key:<tab>value" in a /proc file; empty when there is no such line.
std::string proc_value(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

}  // namespace

HostInfo host_info() {
  HostInfo info;
  utsname names{};
  if (::uname(&names) == 0) info.arch = names.machine;
  for (const char* key : {"model name", "Hardware", "CPU part"}) {
    info.cpu = proc_value("/proc/cpuinfo", key);
    if (!info.cpu.empty()) break;
  }
  if (info.cpu.empty()) info.cpu = "unknown";
  info.cores = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  return info;
}

std::string cpu_features() {
  const std::string flags = proc_value("/proc/cpuinfo", "flags");
  return flags.empty() ? proc_value("/proc/cpuinfo", "Features") : flags;
}

namespace {
std::atomic<double> most_rss_mb{0.0};  // that was ever read
}

double recent_peak_rss_mb() {
  const std::string value = proc_value("/proc/self/status", "VmHWM");
  const double recent = value.empty() ? 0.0 : std::strtod(value.c_str(), nullptr) / 1024.0;
  if (recent > most_rss_mb) most_rss_mb = recent;
  return recent;
}

double peak_rss_mb() { return std::max(recent_peak_rss_mb(), most_rss_mb.load()); }

void new_peak_rss() {
  recent_peak_rss_mb();
  std::ofstream("/proc/self/clear_refs") << "5";
}

std::optional<double> cpu_temperature_c(const std::string& folder) {
  std::optional<double> hottest;
  for (int zone = 0; zone < 256; ++zone) {
    const std::string path = folder + "/thermal_zone" + std::to_string(zone);
    std::ifstream type_file(path + "/type");
    std::string type;
    if (!(type_file >> type)) break;
    std::transform(type.begin(), type.end(), type.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (type.find("cpu") == std::string::npos && type.find("soc") == std::string::npos &&
        type != "x86_pkg_temp") {
      continue;
    }
    std::ifstream value_file(path + "/temp");
    double millidegrees = 0.0;
    if (value_file >> millidegrees) {
      hottest = std::max(hottest.value_or(-273.0), millidegrees / 1000.0);
    }
  }
  return hottest;
}

}  // namespace mobilevd
