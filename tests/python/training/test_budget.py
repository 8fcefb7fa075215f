"""What a run will take: FLOPs by the rule of three, memory against a run that was measured."""

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mobilevd.compress.flops import cost
from mobilevd.models.store import Model
from mobilevd.presets import get_preset
from mobilevd.training.budget import GPUS, budget, budget_rows, stage_config
from mobilevd.training.method import moved
from mobilevd.training.methods.mobilevd_options import Options
from mobilevd.training.methods.svd import Svd
from mobilevd.training.recipe_file import read_recipe
from mobilevd.training.step_cost import meta_batch, player_costs

MINI = get_preset("mini")
CONFIGS = Path(__file__).parents[3] / "configs"


def recipe_of(tmp_path, method, more="", settings="", batch="per_gpu = 2"):
    path = tmp_path / f"{method}.toml"
    rate = "learning_rate = 1e-4" if method == "svd" or "cross" in more else ""
    path.write_text(
        f'method = "{method}"\npreset = "mini"\n{more}\n[data]\nsource = "digits"\n'
        f"cached_clips = 64\n[batch]\n{batch}\n"
        f"[settings]\nsteps = 100\n{rate}\n{settings}\n"
    )
    return read_recipe(path)


def forward_flops(config=MINI.unet):
    return cost(config, MINI.latent_size).flops


def svd_on_meta():
    with torch.device("meta"):
        return moved(Svd(Model.fresh(MINI)), "meta")


@pytest.mark.parametrize(("checkpointing", "times"), [(False, 3), (True, 4)])
def test_a_trained_pass_is_three_times_its_forward_pass(checkpointing, times):
    """And four with checkpointing; the rest is the picture's: encoders, once."""
    (player,) = player_costs(svd_on_meta(), meta_batch(MINI, 2, pixels=False), checkpointing)
    assert player.name == "denoiser"
    assert times - 0.1 < player.flops / (2 * forward_flops()) < times + 0.4


@pytest.mark.slow
def test_pixels_cost_the_encoder_of_every_frame():
    a, b = (player_costs(svd_on_meta(), meta_batch(MINI, 1, p), False)[0] for p in (False, True))
    with torch.device("meta"):
        encoder, frame = Model.fresh(MINI).vae.encoder, torch.empty(1, 3, *MINI.size)
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        encoder(frame)
    assert b.flops - a.flops == MINI.unet.num_frames * counter.get_total_flops()


def test_flops_are_the_real_devices():
    """The same count as of a step on the CPU with real numbers."""
    from mobilevd.training.clip_noise import ClipNoise
    from mobilevd.training.data import Batch
    from torch.utils.flop_counter import FlopCounterMode

    small = replace(MINI, unet=replace(MINI.unet, num_frames=2))
    method = Svd(Model.fresh(small))
    method.model.unet.requires_grad_(True)
    shapes = meta_batch(small, 1, False)
    batch = Batch(**{k: torch.zeros(v.shape) for k, v in vars(shapes).items() if v is not None})
    with FlopCounterMode(display=False) as counter:
        method.loss("denoiser", batch, ClipNoise(0, [0])).total.backward()
    with torch.device("meta"):
        planned = moved(Svd(Model.fresh(small)), "meta")
    (player,) = player_costs(planned, shapes, False)
    assert counter.get_total_flops() == player.flops


@pytest.mark.slow
def test_methods_cost_the_passes_they_make(tmp_path):
    ufogen = budget(recipe_of(tmp_path, "ufogen"))
    animatelcm = budget(recipe_of(tmp_path, "animatelcm"))
    one = forward_flops() / 1e12
    # The teacher's guided step is two passes, the target's one, the student's three.
    assert 6 < animatelcm["tflops_per_clip"] / one < 6.5
    # Half of the time a discriminator's move (1 + 2 x 3); always a generator's (3 + 2).
    assert 3.5 + 5 < ufogen["tflops_per_clip"] / one < 3.5 + 5 + 0.6
    assert ufogen["params_trained"] == 2 * animatelcm["params_trained"]


def test_stages_leave_what_the_recipe_leaves():
    svd, options = get_preset("svd-512x256").unet, Options()
    flops = {
        stage: cost(replace(stage_config(svd, stage, options), unmerged_funnels=False), (32, 64))
        for stage in ("low_resolution", "adversarial", "multiscaling", "funnels")
    }
    paper = {"low_resolution": 8.60, "adversarial": 8.24, "multiscaling": 5.42, "funnels": 4.34}
    for stage, tflops in paper.items():
        assert flops[stage].flops / 1e12 == pytest.approx(tflops, rel=0.03)
    assert stage_config(svd, "funnels", options).unmerged_funnels


# VmHWM, since ru_maxrss starts at what the parent had.
RUN = """
import sys
import torch
from mobilevd.models.store import Model
from mobilevd.presets import get_preset
from mobilevd.training.clip_noise import ClipNoise
from mobilevd.training.gradient_checkpointing import checkpoint_blocks
from mobilevd.training.methods.svd import Svd
from mobilevd.training.step_cost import meta_batch
from mobilevd.training.data import Batch

def greatest():
    status = open("/proc/self/status").read()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

def step(clips):
    shapes = meta_batch(preset, clips, False)
    batch = Batch(**{k: torch.ones(v.shape) for k, v in vars(shapes).items() if v is not None})
    method.loss("denoiser", batch, ClipNoise(0, range(clips))).total.backward()

torch.manual_seed(0)
preset = get_preset("mini")
method = Svd(Model.fresh(preset))
method.model.unet.requires_grad_(True)
if sys.argv[2] == "True":
    checkpoint_blocks(method.model.unet)
step(1)  # gradients, workspaces
before = greatest()
step(int(sys.argv[1]))
print(greatest() - before)
"""


@pytest.mark.parametrize(
    ("checkpointing", "clips"), [(False, 8), pytest.param(True, 24, marks=pytest.mark.slow)]
)
def test_activations_are_those_of_a_real_step(checkpointing, clips):
    """Against the growth of a process's greatest memory, by 15 %; large blocks are given back."""
    one, many = (
        player_costs(svd_on_meta(), meta_batch(MINI, n, False), checkpointing)[0].activations
        for n in (1, clips)
    )
    result = subprocess.run(
        [sys.executable, "-c", RUN, str(clips), str(checkpointing)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        check=True,
    )
    grown = float(result.stdout)
    assert grown > 100e6
    assert 4 * (many - one) == pytest.approx(grown, rel=0.15)


def test_figures_add_up(tmp_path):
    settings = 'precision = "bf16"\ngradient_checkpointing = true'
    batch = "gpus = 4\nper_gpu = 2\naccumulation = 3"
    recipe = recipe_of(tmp_path, "svd", settings=settings, batch=batch)
    figures = budget(recipe, "h100", 0.5, price_per_hour=2.0)
    assert figures["clips_per_step"] == 24
    assert figures["tflops_per_step"] == pytest.approx(24 * figures["tflops_per_clip"])
    seconds = figures["tflops_per_step"] * 1e12 / (4 * GPUS["h100"].bf16 * 0.5)
    assert figures["seconds_per_step"] == pytest.approx(seconds)
    assert figures["cost"] == pytest.approx(100 * seconds / 3600 * 4 * 2.0)
    parts = ("weights", "gradients", "moments", "average", "exchange", "casts", "activations")
    assert figures["memory_gb"] == pytest.approx(sum(figures[f"memory_gb_{p}"] for p in parts))
    trained = figures["params_trained"]
    assert figures["memory_gb_moments"] == pytest.approx(8 * trained / 1e9)
    assert figures["memory_gb_weights"] > 4 * trained / 1e9
    saved = figures["memory_gb_without_checkpointing"] - figures["memory_gb_with_checkpointing"]
    assert saved > 0
    assert figures["fits"]
    text = " ".join(cell for row in budget_rows(figures) for cell in row)
    assert "H100" in text
    assert "fits" in text


@pytest.mark.slow
def test_ladds_clips_are_made_first(tmp_path):
    figures = budget(recipe_of(tmp_path, "ladd"), utilisation=1.0)
    made = forward_flops() * 50 * 64 / GPUS["a100"].fp32 / 3600
    assert figures["hours_making_clips"] == pytest.approx(made)
    assert figures["hours"] > figures["hours_making_clips"]


def test_what_is_wrong(tmp_path):
    recipe = recipe_of(tmp_path, "svd")
    with pytest.raises(ValueError, match="unknown gpu 'v100'; known: a100, h100"):
        budget(recipe, "v100")
    with pytest.raises(ValueError, match="utilisation must be in"):
        budget(recipe, utilisation=1.2)
    with pytest.raises(ValueError, match="nothing to train"):
        budget(recipe_of(tmp_path, "mobilevd", 'stage = "cross_attention"'))


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda p: p.stem)
def test_full_size_configs_fit_their_gpus(path):
    figures = budget(read_recipe(path))
    assert figures["fits"], budget_rows(figures)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4e6  # kB: counted, not made
