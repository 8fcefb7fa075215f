// Stands in for a libQnnHtp.so whose device configuration ExecuTorch would fill in wrongly.
//
// QNN 2.47 gave QnnHtpDevice_CustomConfig_t a pointer member, which moved its union from byte 4 to
// byte 8. ExecuTorch 1.5 is compiled against the older header, so that QNN reads "socModel 0" and
// makes no device (error 14001). This library has libQnnHtp.so's name and its one entry point; it
// loads the real library, which lies beside it as libQnnHtp.real.so, and replaces deviceCreate in
// its function table by one that moves the union. python/mobilevd/export/qnn_sdk.py puts it before
// the builds that are known to need it, and before no other.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace {

using Error = std::uint64_t;
constexpr Error kFailed = 1002;  // QNN_COMMON_ERROR_SYSTEM

// QNN's public C interface (QnnInterface.h, QnnDevice.h, HTP/QnnHtpDevice.h), as far as used.
struct Version {
  std::uint32_t major, minor, patch;
};
constexpr std::size_t kDeviceCreate = 40;
struct Provider {
  std::uint32_t backend_id;
  const char* name;
  Version core, backend;
  void* functions[kDeviceCreate + 1];  // and more
};
struct DeviceConfig {
  std::uint32_t option;
  const void* value;
};
constexpr std::uint32_t kCustom = 0;  // QNN_DEVICE_CONFIG_OPTION_CUSTOM
struct OldHtpConfig {
  std::uint32_t option;
  unsigned char value[8];
};
struct NewHtpConfig {
  std::uint32_t option;
  alignas(8) unsigned char value[8];
};
static_assert(sizeof(OldHtpConfig) == 12 && sizeof(NewHtpConfig) == 16);

using DeviceCreate = Error (*)(void* log, const DeviceConfig** configs, void** device);
using GetProviders = Error (*)(Provider*** providers, std::uint32_t* count);

DeviceCreate real_device_create = nullptr;

Error device_create(void* log, const DeviceConfig** configs, void** device) {
  if (configs == nullptr) return real_device_create(log, configs, device);
  std::deque<DeviceConfig> changed;  // QNN reads them during the call only
  std::deque<NewHtpConfig> moved;
  std::vector<const DeviceConfig*> list;
  for (; *configs != nullptr; ++configs) {
    DeviceConfig& config = changed.emplace_back(**configs);
    if (config.option == kCustom && config.value != nullptr) {
      const auto* from = static_cast<const OldHtpConfig*>(config.value);
      NewHtpConfig& to = moved.emplace_back();
      to.option = from->option;
      std::memcpy(to.value, from->value, sizeof to.value);
      config.value = &to;
    }
    list.push_back(&config);
  }
  list.push_back(nullptr);
  return real_device_create(log, list.data(), device);
}

GetProviders load_real_library() {
  Dl_info self{};
  dladdr(reinterpret_cast<const void*>(&device_create), &self);
  std::string path = self.dli_fname;
  path.replace(path.rfind('/') + 1, std::string::npos, "libQnnHtp.real.so");
  // Never closed: its threads outlive the last user. Local: its symbols clash with torch's.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    std::fprintf(stderr, "mobilevd: cannot load QNN's HTP library: %s\n", dlerror());
    return nullptr;
  }
  return reinterpret_cast<GetProviders>(dlsym(library, "QnnInterface_getProviders"));
}

}  // namespace

extern "C" __attribute__((visibility("default"))) Error
QnnInterface_getProviders(Provider*** providers, std::uint32_t* count) {
  static const GetProviders real = load_real_library();
  if (real == nullptr) return kFailed;
  const Error error = real(providers, count);
  if (error != 0) return error;
  for (std::uint32_t i = 0; i < *count; ++i) {
    void*& function = (*providers)[i]->functions[kDeviceCreate];
    void* const ours = reinterpret_cast<void*>(&device_create);
    if (function == ours) continue;
    real_device_create = reinterpret_cast<DeviceCreate>(function);
    function = ours;
  }
  return error;
}
