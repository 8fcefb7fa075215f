"""What all peers of one model share: its weights, the inputs, and eager PyTorch's answer."""

from __future__ import annotations

import numpy as np

from .task import Task


def convert(task: Task) -> None:
    """Writes ``unet.safetensors``, ``inputs.npz`` and ``reference.npy``.

    The inputs are those of ``mobilevd_runner --stage unet --seed 0``: N(0, 1), input i from the
    runtime's noise of stream i.
    """
    import torch

    from ...export.stages import UNetStage, unet_inputs
    from ...models.store import save_tensors
    from ...runtime import noise

    parts = task.model()
    inputs = unet_inputs(parts.preset, "xnnpack")
    arrays = {x.name: noise(0, i, x.shape) for i, x in enumerate(inputs)}
    np.savez(task.own / "inputs.npz", **arrays)  # type: ignore[arg-type]
    unet = parts.part("unet").unet
    save_tensors(task.own / "unet.safetensors", unet.state_dict())
    torch.set_num_threads(task.threads)
    with torch.no_grad():
        answer = UNetStage(unet)(*map(torch.from_numpy, arrays.values()))
    np.save(task.own / "reference.npy", answer.numpy())
