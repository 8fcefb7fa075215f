# Android's own toolchain file, after a look at what the preset `android-arm64` needs: ANDROID_NDK and
# EXECUTORCH_ANDROID in the environment of the first configuration (then they are in the cache).
foreach(_name ANDROID_NDK EXECUTORCH_ANDROID)
  if(NOT MOBILEVD_${_name})
    set(MOBILEVD_${_name} "$ENV{${_name}}" CACHE PATH "See android_runner/README.md")
  endif()
endforeach()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES MOBILEVD_ANDROID_NDK MOBILEVD_EXECUTORCH_ANDROID)

set(_toolchain ${MOBILEVD_ANDROID_NDK}/build/cmake/android.toolchain.cmake)
if(NOT MOBILEVD_ANDROID_NDK OR NOT EXISTS ${_toolchain})
  message(FATAL_ERROR "ANDROID_NDK must name an Android NDK, r28 or newer "
    "(now: '${MOBILEVD_ANDROID_NDK}'); see android_runner/README.md")
endif()
file(STRINGS ${MOBILEVD_ANDROID_NDK}/source.properties _revision REGEX "^Pkg.Revision")
string(REGEX MATCH "[0-9]+" _revision "${_revision}")
if(_revision LESS 28)  # the C++ library of older ones is aligned for 4 KB pages
  message(FATAL_ERROR "${MOBILEVD_ANDROID_NDK} is NDK r${_revision}, r28 or newer is needed")
endif()
if(NOT EXISTS "${MOBILEVD_EXECUTORCH_ANDROID}/lib/cmake/ExecuTorch")
  message(FATAL_ERROR "EXECUTORCH_ANDROID must name an ExecuTorch installed for Android "
    "(now: '${MOBILEVD_EXECUTORCH_ANDROID}'); see android_runner/README.md")
endif()

set(ANDROID_ABI arm64-v8a)
set(ANDROID_PLATFORM android-30)
set(ANDROID_STL c++_shared)
include(${_toolchain})
list(APPEND CMAKE_FIND_ROOT_PATH ${MOBILEVD_EXECUTORCH_ANDROID})
list(APPEND CMAKE_PREFIX_PATH ${MOBILEVD_EXECUTORCH_ANDROID})
