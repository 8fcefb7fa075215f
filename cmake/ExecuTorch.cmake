# One set of names for ExecuTorch, whichever way it was installed:
#
#   mobilevd::et_runtime   Module, tensors, op registry, thread pool
#   mobilevd::et_backends  CPU kernels and delegates; linking it keeps their registrations
#   mobilevd::et_etdump    the profiler (may be empty: then MOBILEVD_HAS_ETDUMP is OFF)
#   MOBILEVD_EXECUTORCH_FILES  its shared libraries, for those who take them along
#
# The wheel exports `executorch::...` shared libraries; an ExecuTorch built from source (Android)
# exports bare names of static libraries, see ExecuTorchStatic.cmake.

# Take the package from the prefix path, else from the Python that builds us. No version is asked
# for: a source install has no version file, and CMake would pass over it without a word.
find_package(executorch CONFIG QUIET)
if(executorch_FOUND AND executorch_VERSION AND executorch_VERSION VERSION_LESS 1.5)
  message(FATAL_ERROR "${executorch_DIR} is ExecuTorch ${executorch_VERSION}, 1.5 is needed")
endif()
if(NOT executorch_FOUND AND CMAKE_CROSSCOMPILING)
  message(FATAL_ERROR "No ExecuTorch for ${CMAKE_SYSTEM_NAME} ${CMAKE_SYSTEM_PROCESSOR}: "
    "for 64-bit ARM Linux run `python cmake/fetch_executorch.py` once, then configure again.")
elseif(NOT executorch_FOUND)
  if(DEFINED Python_EXECUTABLE)
    set(_python ${Python_EXECUTABLE})
  else()
    find_program(_python NAMES python3 python HINTS ENV VIRTUAL_ENV PATH_SUFFIXES bin
                 NO_CACHE NO_CMAKE_FIND_ROOT_PATH)
  endif()
  execute_process(
    COMMAND ${_python} -c "import importlib.util as u; print(u.find_spec('executorch').submodule_search_locations[0])"
    OUTPUT_VARIABLE _executorch_root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT EXISTS "${_executorch_root}/share/cmake/executorch-config.cmake")
    message(FATAL_ERROR
      "ExecuTorch not found: neither on CMAKE_PREFIX_PATH nor in ${_python}. "
      "Run `pip install executorch==1.5.1` in the active environment, or pass "
      "-DCMAKE_PREFIX_PATH=<ExecuTorch install> for one built from source.")
  endif()
  find_package(executorch 1.5 REQUIRED CONFIG NO_CMAKE_FIND_ROOT_PATH
               PATHS ${_executorch_root}/share/cmake NO_DEFAULT_PATH)
endif()

add_library(mobilevd_et_runtime INTERFACE)
add_library(mobilevd_et_backends INTERFACE)
add_library(mobilevd_et_etdump INTERFACE)
add_library(mobilevd::et_runtime ALIAS mobilevd_et_runtime)
add_library(mobilevd::et_backends ALIAS mobilevd_et_backends)
add_library(mobilevd::et_etdump ALIAS mobilevd_et_etdump)
set(MOBILEVD_HAS_ETDUMP OFF)

if(TARGET executorch::runtime)
  set(MOBILEVD_EXECUTORCH_VERSION ${EXECUTORCH_BUILD_VERSION})
  # The delegates beyond XNNPACK that this wheel happens to have. QNN's looks for Qualcomm's
  # libraries when a program needs them, so it costs nothing on a machine without them.
  set(_delegates backend_vulkan backend_qnn)
  foreach(_name runtime threadpool kernels_optimized backend_xnnpack etdump ${_delegates})
    if(NOT TARGET executorch::${_name})
      list(REMOVE_ITEM _delegates ${_name})
      continue()
    endif()
    # The wheel's targets record the absolute package folder as a linker option, which CMake can't
    # take out on install. CMake's own build RPATH does the same and is removed on install.
    get_target_property(_options executorch::${_name} INTERFACE_LINK_OPTIONS)
    list(FILTER _options EXCLUDE REGEX "LINKER:-rpath,")
    set_target_properties(executorch::${_name} PROPERTIES INTERFACE_LINK_OPTIONS "${_options}")
    list(APPEND MOBILEVD_EXECUTORCH_FILES $<TARGET_FILE:executorch::${_name}>)
  endforeach()
  target_link_libraries(mobilevd_et_runtime INTERFACE executorch::runtime)
  target_link_libraries(mobilevd_et_backends
                        INTERFACE executorch::kernels_optimized executorch::backend_xnnpack)
  foreach(_name ${_delegates})
    target_link_libraries(mobilevd_et_backends INTERFACE executorch::${_name})
  endforeach()
  if(TARGET executorch::etdump)
    set(MOBILEVD_HAS_ETDUMP ON)
    target_link_libraries(mobilevd_et_etdump INTERFACE executorch::etdump)
  endif()
else()
  include(${CMAKE_CURRENT_LIST_DIR}/ExecuTorchStatic.cmake)
endif()
string(REGEX MATCH "^[0-9]+\\.[0-9]+\\.[0-9]+" MOBILEVD_EXECUTORCH_VERSION
       "${MOBILEVD_EXECUTORCH_VERSION}")
message(STATUS "ExecuTorch ${MOBILEVD_EXECUTORCH_VERSION}, ETDump: ${MOBILEVD_HAS_ETDUMP}")
