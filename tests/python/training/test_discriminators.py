"""The encoder is the teacher's, frozen; heads see what they should; R1 is the gradient's norm."""

import copy
from dataclasses import replace

import pytest
import torch
from mobilevd.compress.cross_attention import collapse_cross_attention
from mobilevd.compress.funnels import add_funnels
from mobilevd.compress.multiscaling import add_temporal_multiscaling
from mobilevd.compress.temporal_blocks import prune_temporal_blocks
from mobilevd.training.clip_noise import ClipNoise
from mobilevd.training.conditioning import Conditioning, predict_v
from mobilevd.training.discriminators import FrozenEncoder, TeacherDiscriminator
from mobilevd.training.discriminators.gradient_penalty import (
    exact_r1,
    finite_difference_r1,
    score,
)
from mobilevd.training.discriminators.heads import TemporalHead
from mobilevd.training.discriminators.on_teacher import twice_differentiable
from small_models import batch_of, small_models
from torch import nn

SIGMA = torch.tensor([0.3, 2.0])


@pytest.fixture(scope="module")
def teacher():
    return small_models()[1]


@pytest.fixture(scope="module")
def c(teacher):
    with torch.no_grad():
        return Conditioning(teacher, batch_of(2), ClipNoise(0, range(2)))


def test_features_are_the_unets_own(teacher, c):
    unet, seen = teacher.unet, []
    hooks = [
        b.register_forward_hook(lambda _, args, out: seen.append(out)) for b in unet.down_blocks
    ]
    predict_v(unet, c.x0, SIGMA, c)
    for hook in hooks:
        hook.remove()
    features = TeacherDiscriminator(teacher).features(c.x0, SIGMA, c)
    assert [f.shape[1:] for f in features] == [(32, 8, 8), (64, 4, 4), (64, 2, 2), (64, 1, 1)]
    for feature, outputs in zip(features, seen, strict=True):
        # One layer per block, then the downsampler (none at the last level).
        assert torch.allclose(feature, outputs[0], atol=1e-4)


def test_gradients_reach_the_clip_and_not_the_encoder(teacher, c):
    d = TeacherDiscriminator(teacher)
    x = c.x0.clone().requires_grad_(True)
    score(d(x, SIGMA, c)).sum().backward()
    assert float(x.grad.abs().min()) > 0
    assert all(p.grad is None and not p.requires_grad for p in teacher.unet.parameters())
    missing = [n for n, p in d.heads.named_parameters() if p.grad is None]
    assert missing == []
    own = {id(p) for p in teacher.unet.parameters()}
    assert not own & {id(p) for p in d.heads.parameters()}


def test_checkpointing_changes_nothing(teacher, c):
    gradients = []
    for checkpointing in (False, True):
        x = c.x0.clone().requires_grad_(True)
        score(
            TeacherDiscriminator(teacher, checkpointing=checkpointing)(x, SIGMA, c)
        ).sum().backward()
        gradients.append(x.grad)
    assert torch.allclose(*gradients, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (add_temporal_multiscaling, "temporal multiscaling"),
        (lambda unet: prune_temporal_blocks(unet, []), "pruned temporal blocks"),
        (lambda unet: add_funnels(unet, 0.5, ("spatial",)), "funnels"),
    ],
)
def test_a_compressed_unet_is_refused(teacher, change, what):
    with pytest.raises(ValueError, match=f"uncompressed teacher, and this UNet has {what}"):
        FrozenEncoder(change(copy.deepcopy(teacher.unet)))


def test_collapsed_cross_attention_is_welcome(teacher, c):
    plain = TeacherDiscriminator(teacher).features(c.x0, SIGMA, c)
    collapsed = collapse_cross_attention(copy.deepcopy(teacher.unet))
    same = TeacherDiscriminator(replace(teacher, unet=collapsed)).features(c.x0, SIGMA, c)
    for a, b in zip(plain, same, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_every_head_judges_every_place(teacher, c):
    logits = TeacherDiscriminator(teacher)(c.x0, SIGMA, c)
    spatial, temporal = [16, 4, 4, 1], [64, 16, 4, 1]  # positions of 4 frames; 2 times each
    assert [x.shape for x in logits] == [(2, 4 * n) for n in spatial] + [
        (2, 2 * n) for n in temporal
    ]
    assert len(TeacherDiscriminator(teacher, with_temporal_heads=False)(c.x0, SIGMA, c)) == 4


def test_spatial_heads_see_one_frame_and_temporal_heads_one_position(teacher, c):
    d = TeacherDiscriminator(teacher)
    features = d.features(c.x0, SIGMA, c)
    before = d.logits(features, SIGMA, c)
    moved = [f.clone() for f in features]
    for f in moved:
        f[1, :, 0, 0] += 1.0  # clip 0, frame 1, the first position
    after = d.logits(moved, SIGMA, c)
    for level in range(4):
        places = (before[level] != after[level]).unflatten(1, (4, -1)).any(2)
        assert places.tolist() == [[False, True, False, False], [False] * 4]
        positions = (before[4 + level] != after[4 + level]).unflatten(1, (-1, 2)).any(2)
        assert positions[0].nonzero().flatten().tolist() == [0]
        assert not positions[1].any()


def test_head_is_the_equation():
    """psi(h) + <P c, h> / sqrt(C) at each place, in float64."""
    torch.manual_seed(0)
    head = TemporalHead(16, 6, frames=8).double()
    x, condition = torch.randn(3, 16, 8).double(), torch.randn(3, 6).double()
    h = nn.functional.conv1d(x, head.conv.weight, head.conv.bias, stride=2, padding=1)
    groups = h.view(3, 8, -1)
    groups = (groups - groups.mean(2, keepdim=True)) / (
        groups.var(2, keepdim=True, unbiased=False) + 1e-5
    ).sqrt()
    h = groups.view_as(h)
    h = torch.where(h > 0, h, 0.2 * h)
    end = head.logits
    projected = condition @ end.projection.weight.T + end.projection.bias
    want = torch.einsum("nct,c->nt", h, end.out.weight[0]) + end.out.bias
    want = want + torch.einsum("nct,nc->nt", h, projected) / 16**0.5
    clip = x.transpose(1, 2)[..., None, None]  # [B, F, C, 1, 1]
    assert torch.allclose(head(clip, condition[:, None]).double(), want, atol=1e-5)


def test_residual_heads(teacher, c):
    """A logit at every place of the levels with a side of 4; what a block sees of other frames."""
    d = TeacherDiscriminator(teacher, blocks=1)
    height, width = teacher.preset.latent_size
    config = teacher.unet.config
    levels = [n for n in range(4) if n == 0 or min(height, width) >> n >= 4]
    features = d.features(c.x0, SIGMA, c)
    assert len(features) == len(levels) == len(d.heads.spatial) == len(d.heads.temporal)
    logits = d.logits(features, SIGMA, c)
    places = [config.num_frames * (height >> n) * (width >> n) for n in levels]
    assert [x.shape[1] for x in logits] == 2 * places
    # GroupNorm sees a whole clip; without it, what the convolutions reach is what moves.
    for module in d.heads.modules():
        if isinstance(module, nn.GroupNorm):
            module.forward = lambda x: x
    before = d.logits(features, SIGMA, c)
    features[0].unflatten(0, (len(c.x0), -1))[0, 0] += 1.0
    after = d.logits(features, SIGMA, c)
    for head, reached in ((0, 1), (len(levels), 2)):
        moved = (before[head] != after[head]).unflatten(1, (config.num_frames, -1)).any(2)
        assert moved[0].tolist() == [n < reached for n in range(config.num_frames)]
        assert not moved[1:].any()


def test_conditions_count(teacher, c):
    d = TeacherDiscriminator(teacher)
    features = d.features(c.x0, SIGMA, c)
    before = d.logits(features, SIGMA, c)
    for name, changed in (("token", c.token + 1), ("image_latents", c.image_latents + 1)):
        other = copy.copy(c)
        setattr(other, name, changed)
        after = d.logits(features, SIGMA, other)
        assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True)), name
    after = d.logits(features, 2 * SIGMA, c)
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_heads_start_alike_whatever_the_global_generator(teacher):
    torch.manual_seed(1)
    first = TeacherDiscriminator(teacher).heads.state_dict()
    position = torch.get_rng_state()
    second = TeacherDiscriminator(teacher).heads.state_dict()
    assert torch.equal(position, torch.get_rng_state())
    assert all(torch.equal(v, second[k]) for k, v in first.items())


def test_r1_of_a_quadratic():
    """D(x) = mean(a x^2): dD/dx = 2 a x / d, and R1's own derivative in a by hand."""
    a = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    x = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x.requires_grad_(True)
    penalty = exact_r1([a * x.square()], [x])
    want = (2 * 1.5 * x.detach() / 7).square().sum(1).mean()
    assert penalty.item() == pytest.approx(want.item())
    penalty.backward()
    assert float(a.grad) == pytest.approx(float(2 * want / 1.5))


def test_r1_through_the_encoder(teacher, c):
    """Along the gradient g the score rises by |g| per length: |g|^2 is R1."""
    d = TeacherDiscriminator(teacher)
    one = copy.copy(c)
    for name in ("x0", "image_latents", "token", "added_time_ids"):
        setattr(one, name, getattr(c, name)[:1])
    sigma = SIGMA[:1]
    x = one.x0.clone().requires_grad_(True)
    with twice_differentiable():
        penalty = exact_r1(d(x, sigma, one), [x])
        penalty.backward()
    assert any(float(p.grad.abs().max()) > 0 for p in d.heads.parameters())
    (g,) = torch.autograd.grad(score(d(x, sigma, one)).sum(), x)
    step = 0.05 * g / g.norm()
    with torch.no_grad():
        rise = score(d(x + step, sigma, one)) - score(d(x - step, sigma, one))
    assert float((rise / 0.1) ** 2) == pytest.approx(float(penalty), rel=0.02)


def test_finite_difference_is_r1_of_a_linear_score():
    """D(x) = w x of one place: E (a w n)^2 = a^2 |w|^2, which is a^2 R1."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(6, 1, dtype=torch.float64, generator=generator)
    x = torch.randn(20000, 6, dtype=torch.float64, generator=generator)
    n = torch.randn(20000, 6, dtype=torch.float64, generator=generator)
    got = finite_difference_r1([x @ w], [(x + 0.1 * n) @ w])
    x.requires_grad_(True)
    assert float(got) == pytest.approx(0.01 * float(exact_r1([x @ w], [x])), rel=0.05)
