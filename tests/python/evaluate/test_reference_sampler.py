"""The reference sampler against diffusers' StableVideoDiffusionPipeline with the same noise."""

import dataclasses

import numpy as np
import pytest
import torch
from mobilevd.evaluate import clip_preprocessing, reference_sampler
from mobilevd.models.diffusers_folder import read_pipeline
from mobilevd.presets import Preset, Sampling, get_preset
from mobilevd.training.noise import karras_grid, sampling_sigmas
from PIL import Image
from svd_pipeline import write_pipeline

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")

FRAMES, HEIGHT, WIDTH = 3, 64, 128


def preset(**sampling) -> Preset:
    base = get_preset("svd-512x256")
    return dataclasses.replace(
        base,
        height=HEIGHT,
        width=WIDTH,
        unet=dataclasses.replace(base.unet, num_frames=FRAMES),
        sampling=Sampling(**sampling),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pipeline(tmp_path_factory.mktemp("svd"), FRAMES)


@pytest.fixture(scope="module")
def picture():
    pixels = np.random.default_rng(0).integers(0, 256, (250, 301, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(250, 301), (300, 100), (224, 224)])
def test_clip_resize_equals_diffusers(size):
    from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion as svd

    image = normal(0, 2, 3, *size)
    want = svd._resize_with_antialiasing(image, (224, 224))
    got = clip_preprocessing.resize_with_antialiasing(image, 224, 224)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 4},
        {"steps": 4, "guidance_max": 1.0, "fps": 12, "motion_bucket": 40, "noise_aug": 0.1},
    ],
    ids=["guided", "unguided"],
)
@torch.no_grad()
def test_clip_equals_diffusers(folder, picture, options):
    model = read_pipeline(folder, preset(**options))
    theirs = diffusers.StableVideoDiffusionPipeline.from_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    s = model.preset.sampling
    augmentation, noise = normal(1, 1, 3, HEIGHT, WIDTH), normal(2, 1, FRAMES, 4, 8, 16)

    def run(output):  # the first thing their generator draws is the augmentation
        return theirs(
            picture,
            height=HEIGHT,
            width=WIDTH,
            num_frames=FRAMES,
            num_inference_steps=s.steps,
            min_guidance_scale=s.guidance_min,
            max_guidance_scale=s.guidance_max,
            fps=s.fps,
            motion_bucket_id=s.motion_bucket,
            noise_aug_strength=s.noise_aug,
            generator=torch.Generator().manual_seed(1),
            latents=noise,
            output_type=output,
        ).frames[0]

    token = model.image_encoder(clip_preprocessing.clip_input(picture, model.preset.image_encoder))
    image = clip_preprocessing.vae_input(picture, HEIGHT, WIDTH) + s.noise_aug * augmentation
    latents = reference_sampler.sample_latents(
        model.unet, token, model.vae.encoder(image), noise, s
    )
    want = run("latent")
    torch.testing.assert_close(latents[0].float(), want, rtol=1e-4, atol=1e-4)
    assert want.std() > 0.05
    frames = reference_sampler.generate(model, picture, noise, augmentation)
    assert frames.shape == (FRAMES, 3, HEIGHT, WIDTH)
    torch.testing.assert_close(frames, run("pt"), rtol=1e-4, atol=1e-4)
    assert frames.std() > 0.05


@pytest.mark.parametrize("steps", [1, 4, 25])
def test_sigmas_equal_diffusers(folder, steps):
    scheduler = diffusers.EulerDiscreteScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(steps)
    got = sampling_sigmas(Sampling(steps=steps))
    torch.testing.assert_close(got.float(), scheduler.sigmas, rtol=1e-5, atol=0)


class Linear(torch.nn.Module):
    """v = a x + the token; enough to follow the sampler by hand."""

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def forward(self, sample, timestep, token, ids):
        return self.a * sample[:, :, :1] + token.mean()


def test_consistency_by_hand():
    """x0^ of the first level, noise of the next, x0^ again: levels 700 and the 20th of 40."""
    s = Sampling(sampler="consistency", steps=2, levels=40, guidance_max=1.0)
    sigmas = sampling_sigmas(s)
    torch.testing.assert_close(sigmas[:1].tolist(), [700.0])
    grid = karras_grid(40, 0.002, 700.0, 7.0)
    assert sigmas[1] == grid[20]
    assert sigmas[2] == 0
    noise, again = normal(0, 1, 2, 1, 2, 2).double(), normal(1, 1, 2, 1, 2, 2).double()
    token = torch.ones(1, 1, 3, dtype=torch.float64)
    got = reference_sampler.sample_latents(
        Linear(), token, torch.zeros(1, 1, 2, 2), noise, s, lambda step: again
    )

    def clean(x, sigma):
        c = (sigma**2 + 1).sqrt()
        return x / c**2 - sigma / c * (0.5 * x / c + 1)

    x = clean(noise * (sigmas[0] ** 2 + 1).sqrt(), sigmas[0])
    torch.testing.assert_close(got, clean(x + sigmas[1] * again, sigmas[1]))


def test_bad_sampling():
    with pytest.raises(ValueError, match="unknown sampler 'heun'"):
        sampling_sigmas(Sampling(sampler="heun"))
    with pytest.raises(ValueError, match="steps must be at least 1"):
        sampling_sigmas(Sampling(steps=0))
    with pytest.raises(ValueError, match="as many levels, not 4"):
        sampling_sigmas(Sampling(sampler="consistency", steps=8, levels=4))
    s = Sampling(sampler="consistency", steps=2, levels=4)
    with pytest.raises(ValueError, match="needs renoise"):
        reference_sampler.sample_latents(
            Linear(), torch.ones(1, 1, 3), torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 1, 2, 2), s
        )
