"""The one table of presets: sizes, modules and sampling constants of every model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .models.clip_vision import ClipVisionConfig
from .models.config import UNetConfig
from .models.layout import level, self_attentions
from .models.plan import fitted_temporal_blocks, with_funnels, with_temporal_blocks
from .models.svd_vae import SvdVaeConfig
from .models.tiny_vae import TinyVaeConfig
from .models.vae import VaeConfig, vae_config_from_dict


@dataclass(frozen=True)
class Sampling:
    """How a clip is drawn (SVD: 25 Euler steps with guidance, 50 evaluations).

    Guidance grows linearly over the frames from min to max; max <= 1 means one evaluation a step.
    """

    sampler: str = "euler"
    steps: int = 25
    sigma_min: float = 0.002
    sigma_max: float = 700.0
    rho: float = 7.0
    levels: int | None = None
    guidance_min: float = 1.0
    guidance_max: float = 3.0
    fps: int = 7
    motion_bucket: int = 127
    noise_aug: float = 0.02

    @property
    def evaluations(self) -> int:
        return self.steps * (2 if self.guidance_max > 1 else 1)


# SVD's encoder runs once a clip; its decoder costs several times the UNet, so phones get TAESD's,
# which codes SVD's latents times 0.18215.
PHONE_VAE = SvdVaeConfig(tiny_decoder=TinyVaeConfig(latent_scale=0.18215, native_scale=0.18215))


@dataclass(frozen=True)
class Preset:
    """A model at a size; ``height`` and ``width`` are pixels of the clip."""

    name: str
    summary: str
    height: int
    width: int
    unet: UNetConfig = field(default_factory=UNetConfig)
    image_encoder: ClipVisionConfig = field(default_factory=ClipVisionConfig)
    vae: VaeConfig = PHONE_VAE
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def latent_size(self) -> tuple[int, int]:
        return self.height // self.vae.factor, self.width // self.vae.factor

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preset:
        """The inverse of ``to_dict`` after a trip through JSON (lists become tuples again)."""

        def tuples(entries: dict[str, Any]) -> dict[str, Any]:
            return {k: tuple(v) if isinstance(v, list) else v for k, v in entries.items()}

        return cls(
            **{
                **values,
                "unet": UNetConfig.from_dict(values["unet"]),
                "image_encoder": ClipVisionConfig(**tuples(values["image_encoder"])),
                "vae": vae_config_from_dict(values["vae"]),
                "sampling": Sampling(**values["sampling"]),
            }
        )


_MINI = Preset(
    name="mini",
    summary="SVD's architecture at a size that two CPU cores train; MobileVD made of it ships",
    height=64,
    width=64,
    unet=UNetConfig(
        block_out_channels=(32, 64, 64, 64),
        layers_per_block=1,
        num_attention_heads=(1, 2, 2, 2),
        cross_attention_dim=64,
        addition_time_embed_dim=32,
    ),
    image_encoder=ClipVisionConfig(
        image_size=64,
        patch_size=8,
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=384,
        projection_dim=64,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    # SVD's factor, 8; nothing but the outermost convolutions at full resolution.
    vae=TinyVaeConfig(width=48, encoder_blocks=(0, 1, 2, 3), decoder_blocks=(3, 2, 1, 0)),
    # Its own scale (training/data/clip.py): 60 is typical of what it was trained on.
    sampling=Sampling(motion_bucket=60),
)


def _mobilevd() -> UNetConfig:
    """Every step of the paper; the blocks and layers it does not list are fitted to its FLOPs."""
    config = UNetConfig(collapsed_cross_attention=True, temporal_factor=2)
    config = with_temporal_blocks(config, fitted_temporal_blocks(config, 12))
    return with_funnels(config, 0.5, ("spatial",))


def _mobilevd_xs() -> UNetConfig:
    """MobileVD's blocks and spatial multiscaling too, with less at the finest level.

    The full frame rate and the full grid are where the FLOPs are: of MobileVD's five temporal
    transformers there only the very last stays (it tells apart the frames that multiscaling
    doubled), and spatial self-attention has the fun-factor 0.375 instead of 0.5. What stays is a
    subset of MobileVD's blocks, so that its pruned checkpoint can start this one.
    """
    config = UNetConfig(collapsed_cross_attention=True, temporal_factor=2, spatial_factor=2)
    keep = [
        path
        for path in fitted_temporal_blocks(config, 12)
        if level(config, path) > 0 or path.startswith("up_blocks.3.attentions.2.")
    ]
    config = with_temporal_blocks(config, keep)
    attentions = self_attentions(config, "spatial")
    return with_funnels(config, {a: 0.375 if level(config, a) == 0 else 0.5 for a in attentions})


# Finetuned to go from sigma_max to the clip in one evaluation, without guidance.
_ONE_STEP = Sampling(steps=1, guidance_max=1.0)

PRESETS: dict[str, Preset] = {
    p.name: p
    for p in (
        Preset(
            "svd-1024x576",
            "Stable Video Diffusion, 14 frames, its own size",
            576,
            1024,
            vae=SvdVaeConfig(),
        ),
        Preset(
            "svd-512x256",
            "Stable Video Diffusion at MobileVD's size",
            256,
            512,
            vae=SvdVaeConfig(),
        ),
        Preset(
            "mobilevd-hd",
            "MobileVD-HD: MobileVD's steps at SVD's own size",
            576,
            1024,
            unet=_mobilevd(),
            sampling=_ONE_STEP,
        ),
        Preset(
            "mobilevd-512x256",
            "MobileVD, one evaluation",
            256,
            512,
            unet=_mobilevd(),
            sampling=_ONE_STEP,
        ),
        Preset(
            "mobilevd-xs",
            "beyond the paper: half of MobileVD's FLOPs by the same steps",
            256,
            512,
            unet=_mobilevd_xs(),
            sampling=_ONE_STEP,
        ),
        _MINI,
        replace(
            _MINI,
            name="mini-hd",
            summary="mini at twice the size: the teacher of the small benchmark",
            height=128,
            width=128,
        ),
    )
}


def get_preset(name: str) -> Preset:
    """The preset of that name; ValueError listing the known ones otherwise."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ValueError(f"unknown preset '{name}'; known: {', '.join(PRESETS)}") from None
