#include "runtime/backend_library.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "scratch_folder.h"

namespace mobilevd {
namespace {

using testing::error_of;

/// Libraries made by tests/cpp/CMakeLists.txt.
std::string library(const std::string& name) {
  return std::string(MOBILEVD_BACKEND_LIBRARIES) + "/lib" + name + ".so";
}

bool has_backend(const std::string& name) {
  const auto names = registered_backends();
  return std::find(names.begin(), names.end(), name) != names.end();
}

class BackendLibrary : public testing::ScratchFolder {
 protected:
  static void expect_refused(const std::string& path, const std::string& text) {
    const auto before = registered_backends();
    const std::string error = error_of([&path] { load_backend_library(path); });
    EXPECT_NE(error.find(path), std::string::npos) << error;
    EXPECT_NE(error.find(text), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    EXPECT_EQ(registered_backends(), before);
  }
};

TEST_F(BackendLibrary, AddsItsBackendAndTwiceIsAsGoodAsOnce) {
  EXPECT_FALSE(has_backend("CopyBackend"));
  load_backend_library(library("further_backend"));
  EXPECT_TRUE(has_backend("CopyBackend"));
  load_backend_library(library("further_backend"));
  EXPECT_TRUE(has_backend("CopyBackend"));
}

TEST_F(BackendLibrary, AnyNameOfTheSameLibraryIsAsGood) {
  load_backend_library(library("further_backend"));
  load_backend_library("libfurther_backend.so");  // which the loader, not the working folder, knows
  std::filesystem::create_symlink(library("further_backend"), path("link.so"));
  load_backend_library(path("link.so"));
}

TEST_F(BackendLibrary, OneThatTheProcessHasAlreadyIsAccepted) {
  ASSERT_NE(dlopen(library("further_backend").c_str(), RTLD_NOW), nullptr);
  load_backend_library(library("further_backend"));
  EXPECT_TRUE(has_backend("CopyBackend"));
}

TEST_F(BackendLibrary, WhatRegistersNothingIsRefusedEachTime) {
  for (int i = 0; i < 2; ++i) {
    expect_refused(library("no_backend"), "registers no further ExecuTorch backend (there are ");
    expect_refused(library("same_backend"), "XnnpackBackend");
  }
}

TEST_F(BackendLibrary, WhatIsNoLibraryIsRefused) {
  expect_refused(path("none.so"), "No such file");
  put("text.so", "not ELF");
  expect_refused(path("text.so"), "cannot load backend library");
  EXPECT_NE(error_of([] { load_backend_library(""); }).find("is empty"), std::string::npos);
}

TEST_F(BackendLibrary, OfAnotherExecutorchIsRefused) {
  expect_refused(library("other_executorch"), "not linked against ExecuTorch 1.");
}

TEST_F(BackendLibrary, OneThatAbortsEndsOnlyItsTrial) {
  expect_refused(library("own_kernels"), "ends the process that loads it (Aborted");
  expect_refused(library("own_kernels"), "carries an ExecuTorch of its own");
}

TEST_F(BackendLibrary, AMissingBackendIsExplained) {
  EXPECT_NE(how_to_get_backend("VulkanBackend").find("EXECUTORCH_BUILD_VULKAN=ON"),
            std::string::npos);
  EXPECT_NE(how_to_get_backend("QnnBackend").find("EXECUTORCH_BUILD_QNN=ON"), std::string::npos);
  for (const char* name : {"VulkanBackend", "QnnBackend", "AnotherBackend"}) {
    EXPECT_NE(how_to_get_backend(name).find("--backend-lib"), std::string::npos);
  }
}

}  // namespace
}  // namespace mobilevd
