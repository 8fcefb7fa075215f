from __future__ import annotations

import pytest
from mobilevd import kernels


@pytest.fixture(autouse=True)
def _restore_state():
    """Every test leaves the process's ISA and thread count as it found them."""
    isa, threads = kernels.isa(), kernels.get_num_threads()
    yield
    kernels.set_isa(isa)
    kernels.set_num_threads(threads)


@pytest.fixture(params=kernels.available_isas())
def isa(request):
    kernels.set_isa(request.param)
    return request.param
