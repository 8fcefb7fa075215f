# Where things go below the install prefix, and how they find each other there. In a wheel the
# prefix is the package `mobilevd`, next to the package `executorch`:
#
#   mobilevd/_kernels.*.so, _runtime.*.so    mobilevd/lib/libmobilevd_*.so    mobilevd/bin/...
#
# All search paths are relative to the file itself, so the tree can be moved or pushed to a phone.

# mobilevd_install(<target> <folder below the prefix>)
function(mobilevd_install target folder)
  if(folder STREQUAL "lib")
    set(_rpath "$ORIGIN" "$ORIGIN/../../executorch/lib")
  elseif(folder STREQUAL "bin")
    set(_rpath "$ORIGIN/../lib" "$ORIGIN/../../executorch/lib")
  else()
    set(_rpath "$ORIGIN/lib" "$ORIGIN/../executorch/lib")
  endif()
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "${_rpath}")
  install(TARGETS ${target} LIBRARY DESTINATION ${folder} RUNTIME DESTINATION ${folder})
endfunction()

# What Python must know before it loads anything compiled, and a package of what it holds:
# mobilevd/_build_info.py.
function(mobilevd_install_build_info)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/build_info.py.in
                 ${CMAKE_CURRENT_BINARY_DIR}/_build_info.py @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/_build_info.py DESTINATION .)
endfunction()
