#include "runtime/host.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <thread>

#include "runtime/error.h"
#include "runtime/threads.h"
#include "scratch_folder.h"

namespace mobilevd {
namespace {

class Host : public testing::ScratchFolder {
 protected:
  void put_below(const std::string& subfolder, const std::string& name, const std::string& text) {
    std::filesystem::create_directories(folder_ / subfolder);
    put(subfolder + "/" + name, text);
  }
  void core(int number, const char* kilohertz) {
    put_below("cpu" + std::to_string(number) + "/cpufreq", "cpuinfo_max_freq", kilohertz);
  }
};

TEST_F(Host, LittleCoresAreLeftOut) {
  const int all = performance_core_count(path("none"));
  EXPECT_GE(all, 1);
  core(0, "1800000");  // below 80 % of the fastest
  core(1, "3200000");
  EXPECT_EQ(performance_core_count(folder_.string()), 1);
  core(0, "2560000");  // exactly 80 %
  EXPECT_EQ(performance_core_count(folder_.string()), std::min(all, 2));
}

TEST(HostMemory, ThePeakBeginsAnewAndIsRemembered) {
  const auto peak_of = [](std::size_t bytes) {
    new_peak_rss();
    // Pages of its own: the address sanitizer keeps freed memory for a while.
    void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return 0.0;
    std::memset(pages, 1, bytes);
    const double peak = recent_peak_rss_mb();
    munmap(pages, bytes);
    return peak;
  };
  const double much = peak_of(192 << 20);
  EXPECT_GT(much, 180.0);
  if (peak_of(192 << 10) == much) GTEST_SKIP() << "this kernel cannot begin anew";
  EXPECT_LT(recent_peak_rss_mb(), much - 100.0);
  EXPECT_GE(peak_rss_mb(), much);
}

TEST_F(Host, ThreadsAreSetAndKeptWhileAStageLives) {
  const auto after = [](int threads) {
    set_threads(threads);
    return thread_count();
  };
  EXPECT_EQ(after(2), 2);
  EXPECT_EQ(after(1), 1);
  {
    const StageLease stage;
    EXPECT_EQ(after(1), 1);
    EXPECT_NE(testing::error_of([] { set_threads(2); }).find("release it first"),
              std::string::npos);
    EXPECT_EQ(after(0), 1);
  }
  EXPECT_EQ(after(3), 3);
  EXPECT_EQ(after(0), 3) << "a size that was asked for stays";
  EXPECT_NE(testing::error_of([] { set_threads(-1); }).find("between 1"), std::string::npos);
}

TEST_F(Host, HottestCpuZone) {
  EXPECT_FALSE(cpu_temperature_c(folder_.string()).has_value());
  put_below("thermal_zone0", "type", "battery\n");
  put_below("thermal_zone0", "temp", "90000\n");
  put_below("thermal_zone1", "type", "cpu-1-0\n");
  put_below("thermal_zone1", "temp", "41500\n");
  put_below("thermal_zone2", "type", "soc-thermal\n");
  put_below("thermal_zone2", "temp", "40000\n");
  EXPECT_DOUBLE_EQ(cpu_temperature_c(folder_.string()).value(), 41.5);
}

TEST_F(Host, PeakMemoryGrowsWithUse) {
  const double before = peak_rss_mb();
  EXPECT_GT(before, 1.0);
  const std::string big(64 << 20, 'x');
  EXPECT_GT(peak_rss_mb(), before + 32.0) << big.size();
}

}  // namespace
}  // namespace mobilevd
