// A shared library that has nothing to do with ExecuTorch.
extern "C" int mobilevd_no_backend() { return 0; }
