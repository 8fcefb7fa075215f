"""PSNR by hand."""

import pytest
import torch
from mobilevd.psnr import EXACT_DB, psnr_db


def test_of_everything():
    a = torch.rand(2, 16, 16, 3)
    assert float(psnr_db(a + 0.01, a)) == pytest.approx(40, abs=1e-3)
    assert float(psnr_db(a, a)) == EXACT_DB


def test_picture_by_picture():
    a = torch.zeros(2, 3, 8, 8)
    b = a.clone()
    b[1] += 0.2  # of a range of 2: 20 dB
    want = torch.tensor([EXACT_DB, 20.0], dtype=torch.float64)
    torch.testing.assert_close(psnr_db(a, b, 2.0, (1, 2, 3)), want)
