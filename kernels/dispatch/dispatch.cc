#include "mobilevd/kernels/dispatch.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "dispatch/cpu_features.h"
#include "dispatch/variants.h"

namespace mobilevd::kernels {
namespace {

/// Whether this build has translation units of an ISA (the macros take any pointer).
constexpr const char* kYes = "";
constexpr bool kHaveAvx2 = MOBILEVD_IF_AVX2(kYes) != nullptr;
constexpr bool kHaveAvx512 = MOBILEVD_IF_AVX512(kYes) != nullptr;
constexpr bool kHaveAvx512Vnni = MOBILEVD_IF_AVX512_VNNI(kYes) != nullptr;
constexpr bool kHaveNeon = MOBILEVD_IF_NEON(kYes) != nullptr;
constexpr bool kHaveNeonDotprod = MOBILEVD_IF_NEON_DOTPROD(kYes) != nullptr;
constexpr bool kHaveNeonI8mm = MOBILEVD_IF_NEON_I8MM(kYes) != nullptr;

/// Every ISA that has a name, in the order of Isa. A new one: a value in `Isa`, a row here, its
/// case in cpu_features.cc, its member in dispatch/variants.h, its flags in CMakeLists.txt.
struct KnownIsa {
  Isa isa;
  const char* name;
  bool built;
};
constexpr KnownIsa kKnown[] = {
    {Isa::kScalar, "scalar", true},
    {Isa::kAvx2, "avx2", kHaveAvx2},
    {Isa::kAvx512, "avx512", kHaveAvx512},
    {Isa::kAvx512Vnni, "avx512_vnni", kHaveAvx512Vnni},
    {Isa::kNeon, "neon", kHaveNeon},
    {Isa::kNeonDotprod, "neon_dotprod", kHaveNeonDotprod},
    {Isa::kNeonI8mm, "neon_i8mm", kHaveNeonI8mm},
};
constexpr std::size_t kKnownCount = sizeof(kKnown) / sizeof(kKnown[0]);

const KnownIsa* find(const char* name) {
  for (const KnownIsa& known : kKnown) {
    if (std::strcmp(known.name, name) == 0) return &known;
  }
  return nullptr;
}

/// What this process can use, found once; the messages live as long as the process.
class State {
 public:
  static State& get() {
    static State state;
    return state;
  }

  Isa current() const { return current_.load(std::memory_order_relaxed); }

  Status select(const char* name) {
    const Status status = check(name);
    if (!status.ok()) return status;
    current_.store(find(name)->isa, std::memory_order_relaxed);
    environment_ok_.store(true, std::memory_order_relaxed);
    return ok_status();
  }

  Status startup() const {
    if (environment_ok_.load(std::memory_order_relaxed)) return ok_status();
    return unsupported(environment_);
  }

  const Isa* available(std::size_t* count) const {
    *count = count_;
    return available_;
  }

 private:
  State() {
    char list[96] = "";
    for (const KnownIsa& known : kKnown) {
      if (!known.built || !cpu_supports(known.isa)) continue;
      available_[count_++] = known.isa;
      const std::size_t used = std::strlen(list);
      std::snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", known.name);
    }
    current_ = available_[count_ - 1];
    std::snprintf(unknown_, sizeof(unknown_), "unknown ISA name; this CPU and build have: %s",
                  list);
    std::snprintf(missing_, sizeof(missing_), "ISA not supported here; this CPU and build have: %s",
                  list);
    const char* wanted = std::getenv("MOBILEVD_ISA");
    if (wanted == nullptr || *wanted == '\0') return;
    if (check(wanted).ok()) {
      current_ = find(wanted)->isa;
    } else {
      std::snprintf(environment_, sizeof(environment_),
                    "MOBILEVD_ISA=%.32s is not an ISA of this CPU and build; they have: %s", wanted,
                    list);
      environment_ok_ = false;
    }
  }

  Status check(const char* name) const {
    const KnownIsa* known = name == nullptr ? nullptr : find(name);
    if (known == nullptr) return invalid_argument(unknown_);
    for (std::size_t i = 0; i < count_; ++i) {
      if (available_[i] == known->isa) return ok_status();
    }
    return unsupported(missing_);
  }

  Isa available_[kKnownCount];
  std::size_t count_ = 0;
  std::atomic<Isa> current_{Isa::kScalar};
  std::atomic<bool> environment_ok_{true};
  char unknown_[160];
  char missing_[160];
  char environment_[224];
};

thread_local Isa noted = Isa::kScalar;

}  // namespace

void note_isa(Isa isa) { noted = isa; }
Isa last_isa() { return noted; }

const char* isa_name(Isa isa) {
  for (const KnownIsa& known : kKnown) {
    if (known.isa == isa) return known.name;
  }
  return "unknown";
}

const Isa* available_isas(std::size_t* count) { return State::get().available(count); }
Isa isa() { return State::get().current(); }
Status set_isa(const char* name) { return State::get().select(name); }
Status startup_status() { return State::get().startup(); }

}  // namespace mobilevd::kernels
