# mobilevd::mobilevd: the C API, found from where this file lies.
get_filename_component(_mobilevd_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET mobilevd::mobilevd)
  add_library(mobilevd::mobilevd SHARED IMPORTED)
  # A cross linker does not follow run paths: it must be told where our other libraries lie.
  set_target_properties(mobilevd::mobilevd PROPERTIES
    IMPORTED_LOCATION "${_mobilevd_prefix}/lib/libmobilevd.so"
    IMPORTED_SONAME libmobilevd.so
    INTERFACE_INCLUDE_DIRECTORIES "${_mobilevd_prefix}/include"
    INTERFACE_LINK_OPTIONS "LINKER:-rpath-link,${_mobilevd_prefix}/lib")
endif()
unset(_mobilevd_prefix)
