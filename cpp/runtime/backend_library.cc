#include "runtime/backend_library.h"

#include <dlfcn.h>
#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/kernel/operator_registry.h>

#include <algorithm>

#include "runtime/error.h"
#include "runtime/trial_process.h"
#include "runtime/version.h"

namespace mobilevd {

namespace et = executorch::runtime;

namespace {

constexpr unsigned kTrialSeconds = 60;  // a library that waits for a device must not hang us

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// Not global: a backend's own Vulkan entry points must not shadow those that a driver looks for.
void* open_library(const std::string& path) { return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); }

/// The handle of a library that the process has, which is the same for every name it goes by; null
/// for others. Counts one more user, which does no harm: a backend stays.
void* loaded_library(const char* path) { return dlopen(path, RTLD_NOW | RTLD_NOLOAD); }

/// Whether a registered backend's object or code lies in that library.
bool registered_from(void* library) {
  for (std::size_t i = 0; i < et::get_num_registered_backends(); ++i) {
    const auto name = et::get_backend_name(i);
    const void* backend = name.ok() ? et::get_backend_class(*name) : nullptr;
    if (backend == nullptr) continue;
    // The object may be on the heap; its table of virtual functions is the library's in any case.
    for (const void* address : {backend, *static_cast<const void* const*>(backend)}) {
      Dl_info info{};
      if (dladdr(address, &info) != 0 && loaded_library(info.dli_fname) == library) return true;
    }
  }
  return false;
}

Error not_loadable(const std::string& path, const std::string& reason) {
  // A mangled name of ExecuTorch's namespace that this process does not have.
  const bool other_executorch = reason.find("undefined symbol") != std::string::npos &&
                                reason.find("10executorch") != std::string::npos;
  return Error("cannot load backend library " + path + ": " + reason +
               (other_executorch ? std::string("; it was not linked against ExecuTorch ") +
                                       kExecutorchVersion + "'s shared library"
                                 : ""));
}

}  // namespace

void load_backend_library(const std::string& path) {
  if (path.empty()) throw Error("the path of a backend library is empty", Error::Kind::kUsage);
  if (void* library = loaded_library(path.c_str())) {
    if (registered_from(library)) return;
  } else {
    const Trial trial = try_in_child([&path] { open_library(path); }, kTrialSeconds);
    if (!trial.survived) {
      throw Error("backend library " + path + " ends the process that loads it (" + trial.ending +
                  (trial.said.empty() ? "" : ": " + trial.said) +
                  "); if it carries an ExecuTorch of its own, link it against the shared one of "
                  "this build instead");
    }
  }
  const std::size_t before = et::get_num_registered_backends();
  if (open_library(path) == nullptr) throw not_loadable(path, dlerror());
  if (et::get_num_registered_backends() == before) {
    throw Error("backend library " + path + " registers no further ExecuTorch backend (there are " +
                joined(registered_backends()) +
                "); it must be linked against the shared ExecuTorch of this build");
  }
}

bool backend_is_available(const std::string& name) {
  const et::BackendInterface* backend = et::get_backend_class(name.c_str());
  return backend != nullptr && backend->is_available();
}

std::string how_to_make_available(const std::string& name) {
  if (name != "VulkanBackend") return "";
  return ": there is no Vulkan driver (mesa-vulkan-drivers has one in software; VK_ICD_FILENAMES "
         "names one)";
}

std::string how_to_get_backend(const std::string& name) {
  std::string runtime = "the runtime of that backend, built for this ExecuTorch";
  if (name == "VulkanBackend") {
    runtime = "a Vulkan runtime: build ExecuTorch with EXECUTORCH_BUILD_VULKAN=ON";
  } else if (name == "QnnBackend") {
    runtime =
        "a QNN runtime: libexecutorch_backend_qnn.so of ExecuTorch's x86-64 wheel, or build "
        "ExecuTorch with EXECUTORCH_BUILD_QNN=ON";
  }
  return "it needs " + runtime +
         ", loaded with --backend-lib PATH (in Python backend_libs=[PATH]) or linked in: see "
         "\"Vulkan and QNN\" in android_runner/README.md";
}

std::vector<std::string> registered_ops() {
  std::vector<std::string> names;
  for (const et::Kernel& kernel : et::get_registered_kernels()) {
    if (kernel.name_ != nullptr) names.emplace_back(kernel.name_);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::vector<std::string> registered_backends() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < et::get_num_registered_backends(); ++i) {
    const auto name = et::get_backend_name(i);
    if (name.ok()) names.emplace_back(*name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace mobilevd
