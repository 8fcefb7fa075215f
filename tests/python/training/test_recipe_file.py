"""Runs in TOML files: those of configs/ are whole, and a wrong key is named."""

from pathlib import Path

import pytest
from mobilevd.training.methods.mobilevd_options import STAGES
from mobilevd.training.recipe_file import METHODS, read_recipe

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.toml"))

SMALL = """
method = "sfv"
preset = "mini"
start = "runs/svd/model"
[clip]
height = 128
frames = 8
[data]
source = "digits"
[batch]
gpus = 2
per_gpu = 3
accumulation = 4
[settings]
steps = 10
[constants]
generator_rate = 1
betas = [0, 0.999]
"""


def test_a_file_becomes_a_run(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    recipe = read_recipe(path)
    assert recipe.settings.batch_size == 24
    assert recipe.settings.micro_batch == 3
    assert recipe.settings.learning_rate == 1.0
    assert isinstance(recipe.settings.learning_rate, float)
    assert recipe.preset.size == (128, 64)
    assert recipe.preset.unet.num_frames == 8
    assert recipe.constants.betas == (0.0, 0.999)
    assert recipe.constants.p_mean == -1.0
    assert recipe.teacher is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('method = "sfv"', 'methd = "sfv"', "unknown key methd; known: method, stage, preset"),
        ('method = "sfv"', "", "method is missing"),
        ('method = "sfv"', 'method = "gan"', "unknown method 'gan'; known: svd, animatelcm"),
        ('method = "sfv"', 'method = "svd"', r"svd has no \[constants\]"),
        ("generator_rate = 1", "batch_size = 1", "unknown key constants.batch_size"),
        ('method = "sfv"', 'method = "mobilevd"', "needs a stage, one of: low_resolution"),
        ('method = "sfv"', 'method = "sfv"\nstage = "pruning"', "go with method mobilevd, not sfv"),
        ("steps = 10", "stepz = 10", "unknown key settings.stepz; known: steps, batch_size"),
        ("steps = 10", "steps = 1.5", "settings.steps must be int, not 1.5"),
        ("steps = 10", "steps = true", "settings.steps must be int, not True"),
        ("steps = 10", "", r"\[settings\] needs steps"),
        ("steps = 10", "steps = 10\nlearning_rate = 1.0", "learning_rate: the players of sfv have"),
        ("steps = 10", "steps = 10\nweight_decay = 1.0", "weight_decay: the players of sfv have"),
        (
            "steps = 10",
            'steps = 10\nprecision = "fp16"',
            "precision must be fp32 or bf16, not fp16",
        ),
        ("steps = 10", "steps = 10\nmicro_batch = 1", r"settings.micro_batch is what \[batch\]"),
        ("betas = [0, 0.999]", "betas = 0.9", "constants.betas must be a list"),
        ("betas = [0, 0.999]", "beta = 0.9", "unknown key constants.beta; known: generator_sigmas"),
        ("betas = [0, 0.999]", 'r1_form = "none"', "unknown R1 'none'; known: latents"),
        ("gpus = 2", "gpus = 0", "at least 1"),
        ("height = 128", "height = 100", "clip.height must be a multiple of 64, not 100"),
        ("height = 128", "height = -64", "clip.height must be a whole number"),
        ('preset = "mini"', 'preset = "maxi"', "unknown preset 'maxi'; known: "),
        ('preset = "mini"', "preset = 3", "preset must be text"),
        ('source = "digits"', "", r"\[data\] needs source"),
        ("[batch]", "[batch", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, old, new, message):
    assert old in SMALL
    path = tmp_path / "small.toml"
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(ValueError, match=message) as error:
        read_recipe(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"no file .*none.toml"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_configs_are_whole_and_say_that_they_were_not_run(path):
    recipe = read_recipe(path)
    head = path.read_text().split("\n\n")[0]
    assert "NOT RUN HERE" in head
    assert f"configs/{path.name}" in head
    assert 4 <= recipe.batch.gpus <= 8
    assert recipe.start is not None
    assert recipe.preset.unet.num_frames == 14
    assert recipe.data.fps == 7


def test_configs_cover_every_method_and_stage():
    recipes = [read_recipe(p) for p in CONFIGS]
    assert {r.method for r in recipes} == set(METHODS)
    stages = {r.stage for r in recipes if r.stage}
    assert stages == set(STAGES) - {"low_resolution", "cross_attention"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_number_in_configs_has_a_source(path):
    """A value is followed by a comment, or its table's head says where all of it is from."""
    table_source = False
    neutral = ("gradient_checkpointing", "checkpoint_every", "frames", "width", "height")
    for line in path.read_text().splitlines():
        if line.startswith("["):
            table_source = "#" in line
        name, equals, value = line.partition(" = ")
        if equals and not line.startswith("#") and not table_source and name not in neutral:
            known = ("#", '"runs/', '"shards:', "method", "stage", "preset")
            assert any(k in line for k in known) or value in ("1", "0", "0.0", "7"), line
