# Installs a build of the kernels, moves the folder, and builds and runs the example in both of the
# ways the README offers: cmake -DBUILD=... -DEXAMPLE=... -DCOMPILER=... -P try_install.cmake
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(failed)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}: ${failed}\n${said}")
  endif()
  set(said "${said}" PARENT_SCOPE)
endfunction()

function(expect_result way)
  run(${ARGN})
  if(NOT said MATCHES "^[a-z0-9_]+: out\\[0\\] = 0\\.1\n$")  # the mean of equal values
    message(FATAL_ERROR "${way}: the example printed ${said}")
  endif()
  string(STRIP "${said}" said)
  message(STATUS "${way}: ${said}")
endfunction()

set(work ${BUILD}/try_install)
file(REMOVE_RECURSE ${work})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/first)
file(RENAME ${work}/first ${work}/prefix)

run(${CMAKE_COMMAND} -S ${EXAMPLE} -B ${work}/by_cmake -G ${GENERATOR}
  -DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM} -DCMAKE_CXX_COMPILER=${COMPILER}
  -DCMAKE_PREFIX_PATH=${work}/prefix)
run(${CMAKE_COMMAND} --build ${work}/by_cmake)
expect_result(find_package ${work}/by_cmake/example)

file(GLOB_RECURSE pc ${work}/prefix/*/mobilevd_kernels.pc)
get_filename_component(pc_folder "${pc}" DIRECTORY)
set(ENV{PKG_CONFIG_PATH} "${pc_folder}")
find_program(PKG_CONFIG NAMES pkg-config pkgconf)
if(NOT PKG_CONFIG)
  message(FATAL_ERROR "pkg-config is missing: apt-get install pkg-config")
endif()
run(${PKG_CONFIG} --cflags --libs mobilevd_kernels)
separate_arguments(flags UNIX_COMMAND "${said}")
run(${COMPILER} -std=c++17 ${EXAMPLE}/main.cc -o ${work}/by_pkg_config ${flags})
run(${PKG_CONFIG} --variable=libdir mobilevd_kernels)
string(STRIP "${said}" said)
set(ENV{LD_LIBRARY_PATH} "${said}")
expect_result(pkg-config ${work}/by_pkg_config)
