"""diffusers' own UNet of Stable Video Diffusion in eager PyTorch, at the preset's size."""

from __future__ import annotations

import torch
from torch import nn

from .task import Running, Task
from .torch_eager import running


def convert(task: Task) -> None:
    """The uncompressed UNet as a folder of diffusers."""
    from diffusers import UNetSpatioTemporalConditionModel

    from ...models.diffusers_keys import config_to_diffusers, state_dict_to_diffusers

    unet = task.uncompressed().part("unet").unet
    with torch.device("meta"):
        theirs = UNetSpatioTemporalConditionModel(**config_to_diffusers(unet.config))
    theirs.load_state_dict(state_dict_to_diffusers(unet.state_dict()), assign=True)
    theirs.save_pretrained(task.own / "unet")


def load(task: Task) -> Running:
    from diffusers import UNetSpatioTemporalConditionModel

    theirs = UNetSpatioTemporalConditionModel.from_pretrained(task.own / "unet")
    return running(_GivenSinusoids(theirs.requires_grad_(False).eval()).to(task.device), task)


class _GivenSinusoids(nn.Module):
    """All others are given the sinusoids that diffusers computes from numbers: so is it, then."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        sample: torch.Tensor,
        timestep_sinusoid: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        added_time_sinusoids: torch.Tensor,
    ) -> torch.Tensor:
        self.unet.time_proj = _Given(timestep_sinusoid)
        self.unet.add_time_proj = _Given(added_time_sinusoids)
        one, three = sample.new_zeros(1), sample.new_zeros(1, 3)
        result: torch.Tensor = self.unet(
            sample, one, encoder_hidden_states, three, return_dict=False
        )[0]
        return result


class _Given(nn.Module):
    def __init__(self, sinusoids: torch.Tensor) -> None:
        super().__init__()
        self.sinusoids = sinusoids

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.sinusoids
