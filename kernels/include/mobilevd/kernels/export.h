#pragma once

/// MOBILEVD_KERNELS_API marks what the shared library exports; everything else is hidden.
#if defined(_WIN32)
#if defined(MOBILEVD_KERNELS_BUILDING)
#define MOBILEVD_KERNELS_API __declspec(dllexport)
#else
#define MOBILEVD_KERNELS_API __declspec(dllimport)
#endif
#else
#define MOBILEVD_KERNELS_API __attribute__((visibility("default")))
#endif
