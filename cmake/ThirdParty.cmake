# Header-only libraries (CLI11, stb, nlohmann-json) and the test libraries. The system's are used
# when they are there; else Debian's packages are unpacked into build/third_party, which needs no
# root. Gives mobilevd::cli11, mobilevd::stb, mobilevd::json; find_package(GTest) and
# find_package(benchmark) work after mobilevd_find_test_libraries().
include_guard(GLOBAL)
set(MOBILEVD_THIRD_PARTY ${CMAKE_CURRENT_LIST_DIR}/../build/third_party CACHE PATH
    "Where third-party packages are unpacked when the system has none")
set(_fetch_headers ${CMAKE_CURRENT_LIST_DIR}/fetch_headers.sh)

# mobilevd_fetch(<Debian package>...): unpacks what is not unpacked yet.
function(mobilevd_fetch)
  execute_process(COMMAND sh ${_fetch_headers} ${MOBILEVD_THIRD_PARTY} ${ARGN}
                  RESULT_VARIABLE _failed ERROR_VARIABLE _why OUTPUT_QUIET)
  if(_failed)
    message(FATAL_ERROR "${_why}")
  endif()
endfunction()

# mobilevd_header_library(<name> <header> <Debian package>): INTERFACE library mobilevd::<name>.
function(mobilevd_header_library name header package)
  if(TARGET mobilevd::${name})
    return()
  endif()
  set(_search ${header} PATHS ${MOBILEVD_THIRD_PARTY}/usr/include NO_CMAKE_FIND_ROOT_PATH)
  if(CMAKE_CROSSCOMPILING)
    list(APPEND _search NO_DEFAULT_PATH)  # never the host's /usr/include in a cross build
  endif()
  find_path(MOBILEVD_${name}_INCLUDE ${_search})
  if(NOT MOBILEVD_${name}_INCLUDE)
    mobilevd_fetch(${package})
    find_path(MOBILEVD_${name}_INCLUDE ${_search} REQUIRED)
  endif()
  add_library(mobilevd_${name} INTERFACE)
  target_include_directories(mobilevd_${name} SYSTEM INTERFACE ${MOBILEVD_${name}_INCLUDE})
  add_library(mobilevd::${name} ALIAS mobilevd_${name})
endfunction()

# A macro, so that the targets found are visible to the caller.
macro(mobilevd_find_test_libraries)
  list(APPEND CMAKE_PREFIX_PATH ${MOBILEVD_THIRD_PARTY}/usr)
  find_package(GTest CONFIG QUIET)
  find_package(benchmark CONFIG QUIET)
  if(NOT GTest_FOUND OR NOT benchmark_FOUND)
    mobilevd_fetch(libgtest-dev libgmock-dev libbenchmark-dev libbenchmark1debian)
    find_package(GTest CONFIG REQUIRED)
    find_package(benchmark CONFIG REQUIRED)
  endif()
endmacro()
