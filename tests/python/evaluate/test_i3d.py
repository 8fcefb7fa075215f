"""The real FVD's way through a TorchScript or torch.export file, with tiny networks."""

import numpy as np
import pytest
import torch
from mobilevd.evaluate.i3d import I3dFeatures
from torch import nn


class Tiny(nn.Module):
    """I3D's interface as StyleGAN-V's file has it; shows in its features how it was called."""

    def forward(
        self, x: torch.Tensor, rescale: bool = True, resize: bool = True,
        return_features: bool = False,
    ) -> torch.Tensor:  # fmt: skip
        flags = torch.tensor([float(rescale), float(resize), float(return_features)])
        shape = torch.tensor([float(n) for n in x.shape[1:]])
        said = torch.cat([flags, shape]).expand(x.shape[0], -1)
        corner = x[:, :, :, 0, 0].mean(2)
        return torch.cat([said, x.mean((2, 3, 4)), corner], 1)


class TinyExported(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3, 4))


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    path = tmp_path_factory.mktemp("i3d") / "i3d_torchscript.pt"
    torch.jit.script(Tiny()).save(str(path))
    return path


@pytest.fixture
def clips():
    return torch.rand(2, 14, 3, 48, 80, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_torchscript_sees_the_protocol(scripted, clips):
    """Resized here, so the file is told not to; its features are asked for, not its classes."""
    extract = I3dFeatures(scripted)
    got = extract(clips)
    assert (extract.key, len(extract.digest)) == ("fvd", 64)
    np.testing.assert_array_equal(got[:, :7], [[0, 0, 1, 3, 14, 224, 224]] * 2)
    np.testing.assert_allclose(got[:, 7:10], clips.mean((1, 3, 4)), atol=0.02)
    # In [-1, 1] still: the corner of each clip.
    np.testing.assert_allclose(got[:, 10:], clips[:, :, :, 0, 0].mean(1), atol=1e-5)


def test_exported_program(tmp_path, clips):
    path = tmp_path / "features.pt2"
    batch = torch.export.Dim("batch", min=1, max=64)
    example = (torch.zeros(2, 3, 14, 224, 224),)
    program = torch.export.export(TinyExported(), example, dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    got = I3dFeatures(path)(clips)
    np.testing.assert_allclose(got, clips.mean((1, 3, 4)), atol=0.02)


def test_bad_files(tmp_path, clips):
    with pytest.raises(FileNotFoundError, match=r"--features takes I3D's TorchScript"):
        I3dFeatures(tmp_path / "none.pt")
    text = tmp_path / "text.pt"
    text.write_text("weights")
    with pytest.raises(ValueError, match=r"no TorchScript or \.pt2 file"):
        I3dFeatures(text)
    state = tmp_path / "state.pt"
    torch.save({"a": torch.zeros(1)}, state)
    with pytest.raises(ValueError, match="a plain state dict will not do"):
        I3dFeatures(state)

    class Wrong(Tiny):
        def forward(
            self, x: torch.Tensor, rescale: bool = True, resize: bool = True,
            return_features: bool = False,
        ) -> torch.Tensor:  # fmt: skip
            return x.mean()

    torch.jit.script(Wrong()).save(str(tmp_path / "wrong.pt"))
    with pytest.raises(ValueError, match="one row of features per clip"):
        I3dFeatures(tmp_path / "wrong.pt")(clips)
