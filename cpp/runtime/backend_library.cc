#include "runtime/backend_library.h"

#include <dlfcn.h>
#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/kernel/operator_registry.h>

#include <algorithm>

#include "runtime/error.h"

namespace mobilevd {

namespace et = executorch::runtime;

void load_backend_library(const std::string& path) {
  const std::size_t before = et::get_num_registered_backends();
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    throw Error("cannot load backend library " + path + ": " + dlerror());
  }
  if (et::get_num_registered_backends() == before) {
    throw Error("backend library " + path +
                " registers no further ExecuTorch backend; is it linked against this ExecuTorch?");
  }
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
