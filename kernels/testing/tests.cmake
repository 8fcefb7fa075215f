# The kernels' tests: one program, run natively, or under qemu once per CPU model.
enable_testing()
find_package(GTest QUIET)
if(NOT GTest_FOUND)  # a cross build: Debian's googletest package has the sources
  find_path(MOBILEVD_GOOGLETEST_SOURCE CMakeLists.txt REQUIRED NO_CMAKE_FIND_ROOT_PATH
    PATHS /usr/src/googletest ${MOBILEVD_THIRD_PARTY}/usr/src/googletest)
  set(CMAKE_WARN_DEPRECATED OFF)  # of googletest's own CMake files
  add_subdirectory(${MOBILEVD_GOOGLETEST_SOURCE} googletest EXCLUDE_FROM_ALL)
  if(NOT TARGET GTest::gtest_main)
    add_library(GTest::gtest_main ALIAS gtest_main)
  endif()
endif()
find_package(Threads REQUIRED)

add_executable(mobilevd_kernels_test dispatch/dispatch_test.cc simd/half_convert_test.cc)
foreach(kernel IN LISTS MOBILEVD_KERNELS)
  file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${kernel}/*_test.cc)
  target_sources(mobilevd_kernels_test PRIVATE ${tests})
endforeach()
target_include_directories(mobilevd_kernels_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(mobilevd_kernels_test
  PRIVATE mobilevd::kernels GTest::gtest_main Threads::Threads)
# As the library: a test that expects exact bits rounds where the library rounds.
target_compile_options(mobilevd_kernels_test PRIVATE -Wall -Wextra -ffp-contract=off)

# The forced ISA and its error are chosen once per process, so each is a process of its own.
foreach(isa scalar mmx)
  add_test(NAME kernels_isa_${isa} COMMAND mobilevd_kernels_test --gtest_filter=Environment.*)
  set_tests_properties(kernels_isa_${isa} PROPERTIES ENVIRONMENT MOBILEVD_ISA=${isa})
endforeach()

if(NOT CMAKE_CROSSCOMPILING_EMULATOR MATCHES qemu-aarch64)
  include(GoogleTest)
  gtest_discover_tests(mobilevd_kernels_test TEST_PREFIX kernels. DISCOVERY_MODE PRE_TEST)
  include(testing/valgrind.cmake)
  return()
endif()

# mobilevd_kernels_emulate(<CPU model> <ISA it must get> <every> <gtest filter>): a wrong choice fails
# a test by name; an instruction that the CPU lacks is SIGILL. Loops take each <every>-th shape.
function(mobilevd_kernels_emulate cpu isa every filter)
  add_test(NAME kernels_on_${cpu} COMMAND mobilevd_kernels_test --gtest_filter=${filter})
  set_tests_properties(kernels_on_${cpu} PROPERTIES
    ENVIRONMENT "QEMU_CPU=${cpu};MOBILEVD_EXPECT_ISA=${isa};MOBILEVD_TEST_EVERY=${every}")
endfunction()
# Each ISA on a CPU that has nothing better.
mobilevd_kernels_emulate(cortex-a53 neon 7 *)
mobilevd_kernels_emulate(cortex-a76 neon_dotprod 7 -*/scalar:*/neon)
mobilevd_kernels_emulate(neoverse-n1 neon_dotprod 37 -*/scalar:*/neon:*Large*)
mobilevd_kernels_emulate(max neon_i8mm 7 -*/scalar:*/neon:*/neon_dotprod)
# What the CPU lacks is refused, not run.
add_test(NAME kernels_isa_missing COMMAND mobilevd_kernels_test --gtest_filter=Environment.*)
set_tests_properties(kernels_isa_missing PROPERTIES
  ENVIRONMENT "QEMU_CPU=cortex-a53;MOBILEVD_ISA=neon_i8mm")
