# ExecuTorch built from source installs static libraries. Our op library and our runtime are two
# shared libraries, and each would get its own op registry and thread pool: so all of ExecuTorch goes
# into one shared library of ours, libmobilevd_executorch.so, that both link.
# Not run here (no Android NDK is at hand); only its linking is tested, with stand-in libraries.
set(MOBILEVD_EXECUTORCH_VERSION ${executorch_VERSION})
if(NOT MOBILEVD_EXECUTORCH_VERSION)
  set(MOBILEVD_EXECUTORCH_VERSION 1.5.1)  # a source install of 1.5 has no version file
endif()

file(WRITE ${CMAKE_BINARY_DIR}/mobilevd_executorch.cc "// All of it comes from archives.\n")
add_library(mobilevd_executorch SHARED ${CMAKE_BINARY_DIR}/mobilevd_executorch.cc)
mobilevd_install(mobilevd_executorch lib)
set(MOBILEVD_EXECUTORCH_FILES $<TARGET_FILE:mobilevd_executorch>)

# Whole, since what our libraries need of them is not known when this one is linked.
foreach(_name executorch executorch_core extension_module_static extension_tensor
        extension_data_loader extension_flat_tensor extension_named_data_map extension_threadpool
        etdump)
  if(TARGET ${_name})
    target_link_options(mobilevd_executorch PRIVATE
      "LINKER:--whole-archive,$<TARGET_FILE:${_name}>,--no-whole-archive")
    target_link_libraries(mobilevd_executorch PRIVATE ${_name})
  endif()
endforeach()
# These register themselves in static initialisers and ask to be linked whole by themselves.
foreach(_name optimized_native_cpu_ops_lib xnnpack_backend vulkan_backend qnn_executorch_backend)
  if(TARGET ${_name})
    target_link_libraries(mobilevd_executorch PRIVATE ${_name})
  endif()
endforeach()

target_include_directories(mobilevd_executorch SYSTEM INTERFACE ${EXECUTORCH_INCLUDE_DIRS})
target_compile_definitions(mobilevd_executorch INTERFACE C10_USING_CUSTOM_GENERATED_MACROS)
if(TARGET extension_threadpool)
  target_compile_definitions(mobilevd_executorch INTERFACE ET_USE_THREADPOOL)
endif()
if(TARGET etdump)
  set(MOBILEVD_HAS_ETDUMP ON)
  target_compile_definitions(mobilevd_executorch INTERFACE ET_EVENT_TRACER_ENABLED)
endif()
foreach(_part runtime backends etdump)
  target_link_libraries(mobilevd_et_${_part} INTERFACE mobilevd_executorch)
endforeach()
