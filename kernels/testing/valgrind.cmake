# The same program under valgrind, in shares that ctest runs side by side. Valgrind emulates a CPU
# with AVX2 at most; nothing is forced, so that dispatch shows that it asks the CPU it runs on.
# Tests with Large in their name are left out: they would take minutes each. So is the scalar
# reference, which the sanitizers see whole.
option(MOBILEVD_KERNELS_VALGRIND "Add tests under valgrind (label: valgrind)" OFF)
if(MOBILEVD_KERNELS_VALGRIND)
  find_program(MOBILEVD_VALGRIND valgrind REQUIRED)
  set(shares 8)
  math(EXPR last "${shares} - 1")
  foreach(share RANGE ${last})
    add_test(NAME kernels_valgrind_${share} COMMAND ${MOBILEVD_VALGRIND} -q --error-exitcode=9
      --leak-check=full $<TARGET_FILE:mobilevd_kernels_test> --gtest_filter=-*Large*:*/scalar)
    set_tests_properties(kernels_valgrind_${share} PROPERTIES LABELS valgrind ENVIRONMENT
      "GTEST_TOTAL_SHARDS=${shares};GTEST_SHARD_INDEX=${share};MOBILEVD_TEST_EVERY=61")
    if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
      set_property(TEST kernels_valgrind_${share} APPEND PROPERTY
        ENVIRONMENT MOBILEVD_EXPECT_ISA=avx2)
    endif()
  endforeach()
endif()
