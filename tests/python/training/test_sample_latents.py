"""The sampler of sheets and synthetic clips is the sampler that models are measured with."""

from dataclasses import replace

import pytest
import torch
from mobilevd.evaluate import reference_sampler
from mobilevd.presets import Sampling
from mobilevd.training.clip_noise import ClipNoise
from mobilevd.training.conditioning import Conditioning
from mobilevd.training.data import cached_latents
from mobilevd.training.data.cached_latents import cache_latents
from mobilevd.training.sample_latents import SALT, SampledClips, sample_latents
from small_models import SHALLOW, batch_of, small_models

SAMPLINGS = {
    "euler with guidance": Sampling(steps=4, motion_bucket=60),
    "one step": Sampling(steps=1, guidance_max=1.0, motion_bucket=60),
    "consistency": Sampling("consistency", 3, levels=8, guidance_max=1.0, motion_bucket=60),
}


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_equals_the_reference(sampling):
    _, model = small_models(preset=SHALLOW)
    batch = batch_of(2)
    ours = sample_latents(model, batch, 5, range(2), sampling)

    noise = ClipNoise(5, range(2), SALT)
    with torch.no_grad():
        c = Conditioning(model, batch, noise, sampling.noise_aug)
    shape = c.x0.shape[1:]
    theirs = reference_sampler.sample_latents(
        model.unet,
        c.token,
        c.image_latents,
        noise.normal(*shape),
        sampling,
        lambda step: noise.normal(*shape),
    )
    assert torch.allclose(ours.double(), theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


def test_a_stopped_cache_goes_on(tmp_path, monkeypatch):
    _, model = small_models(preset=SHALLOW)
    monkeypatch.setattr(cached_latents, "PIECE", 2)

    class Data:
        def __init__(self, stop):
            self.stop, self.made = stop, []

        def batch(self, indices):
            if indices[0] >= self.stop:
                raise KeyboardInterrupt
            self.made += indices
            return batch_of(len(indices), indices[0])

    def cache(data, about):
        return cache_latents(tmp_path / "kept", model.vae, data, 5, {"source": about})

    with pytest.raises(KeyboardInterrupt):
        cache(Data(stop=4), "a")
    assert not (tmp_path / "kept").exists()
    rest = Data(stop=9)
    kept = cache(rest, "a")
    assert rest.made == [4]
    assert torch.equal(kept.batch(range(5)).latents, batch_of(5).latents.half().float())
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    other = Data(stop=9)
    cache(other, "b")  # of another source: all anew
    assert other.made == [0, 1, 2, 3, 4]


def test_synthetic_clips_are_kept(tmp_path):
    _, model = small_models(preset=SHALLOW)

    class Data:
        def batch(self, indices):
            return batch_of(len(indices), indices[0])

    sampling = replace(SAMPLINGS["euler with guidance"], steps=2)
    clips = SampledClips(model, Data(), sampling, seed=1)
    kept = cache_latents(tmp_path / "kept", model.vae, clips, 3, {"teacher": "small"})
    alone = clips.batch([1])
    batch = kept.batch([1, 4])  # modulo 3
    assert torch.equal(batch.latents[0], batch.latents[1])
    assert torch.allclose(batch.latents[:1], alone.latents, rtol=2e-3, atol=2e-3)
    assert not torch.allclose(batch.latents[:1], Data().batch([1]).latents, atol=0.1)
    assert (batch.first[0] - Data().batch([1]).first[0]).abs().max() < 0.01
