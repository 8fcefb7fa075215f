"""The toy bundle's UNet as one delegate: ``python toy_delegate.py BACKEND PROCESSED PROGRAM``.

ExecuTorch finds a backend's class by name among those loaded, so a toy of a real one's name is made
where the real one is not.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from toy_bundle import FRAMES, LATENT, UNET_INPUTS, Shapes


class CopyingUnet(nn.Module):
    """What CopyBackend computes: the output is the first values of the sample."""

    def forward(self, sample: Tensor, *others: Tensor) -> Tensor:
        # Its other inputs count as used.
        unused = sum(x.sum() for x in others) * 0
        return sample.reshape(-1)[: FRAMES * LATENT[0] * 24].reshape(1, FRAMES, *LATENT) + unused


def delegated(module: nn.Module, shapes: Shapes, backend: str, processed: bytes) -> bytes:
    """The whole module as one delegate of a backend that this process need not have."""
    from executorch.exir import EdgeCompileConfig, to_edge
    from executorch.exir.backend.backend_api import to_backend
    from executorch.exir.backend.backend_details import BackendDetails, PreprocessResult
    from executorch.exir.backend.compile_spec_schema import CompileSpec

    # By a specification: ExecuTorch takes the first class of a name, whatever comes later.
    def preprocess(_: Any, specs: list[CompileSpec]) -> PreprocessResult:
        return PreprocessResult(processed_bytes=specs[0].value)

    body = {"preprocess": staticmethod(preprocess)}
    kind = type(backend, (BackendDetails,), body)  # its name is the backend's
    example = tuple(torch.rand(shape) for shape in shapes.values())
    config = EdgeCompileConfig(_check_ir_validity=False)
    edge = to_edge(torch.export.export(module, example), compile_config=config)
    lowered = to_backend(kind.__name__, edge.exported_program(), [CompileSpec("copy", processed)])

    class Call(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lowered = lowered

        def forward(self, *inputs: Tensor) -> Tensor:
            return self.lowered(*inputs)

    program = to_edge(torch.export.export(Call(), example), compile_config=config).to_executorch()
    return program.buffer


if __name__ == "__main__":
    backend, processed, program = sys.argv[1:]
    Path(program).write_bytes(
        delegated(CopyingUnet(), UNET_INPUTS, backend, os.fsencode(processed))
    )
