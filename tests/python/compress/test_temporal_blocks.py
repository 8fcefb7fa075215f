"""Pruning deletes what the gates closed; the gates open n blocks with the stated probabilities."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mobilevd.compress.importance import (
    L1Pruner,
    TemporalBlockPruner,
    inclusion_probabilities,
    mixers,
    sample_without_replacement,
)
from mobilevd.compress.temporal_blocks import prune_temporal_blocks
from mobilevd.models import UNetConfig, create_unet
from mobilevd.models.plan import fitted_temporal_blocks, temporal_blocks
from small_unets import CONFIG, arguments, small_unet


def test_the_38_blocks_of_svd():
    blocks = temporal_blocks(UNetConfig())
    assert len(blocks) == len(set(blocks)) == 38
    assert sum(b.endswith("temporal_res_block") for b in blocks) == 22
    assert blocks[:2] == [
        "down_blocks.0.resnets.0.temporal_res_block",
        "down_blocks.0.attentions.0.temporal_transformer_blocks",
    ]
    kept = fitted_temporal_blocks(UNetConfig(), 12)
    assert all(k.endswith("temporal_transformer_blocks") for k in kept)
    assert sum(k.startswith(("down_blocks.0", "up_blocks.3")) for k in kept) == 5
    with pytest.raises(ValueError, match=r"in 0\.\.38, not 39"):
        fitted_temporal_blocks(UNetConfig(), 39)


def test_paths_are_modules():
    unet = small_unet()
    assert list(mixers(unet)) == temporal_blocks(unet.config)
    for path in temporal_blocks(unet.config):
        assert sum(p.numel() for p in unet.get_submodule(path).parameters()) > 0


@given(
    q=st.lists(st.floats(-8, 8), min_size=1, max_size=40),
    seed=st.integers(0, 1000),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_exactly_n_are_sampled(q, seed, data):
    n = data.draw(st.integers(0, len(q)))
    p = inclusion_probabilities(torch.tensor(q), n)
    assert float(p.sum()) == pytest.approx(n, abs=1e-6)
    assert ((p >= 0) & (p <= 1)).all()
    assert (p[torch.tensor(q).argsort()].diff() >= -1e-12).all()  # in the order of importance
    z = sample_without_replacement(p, n, torch.Generator().manual_seed(seed))
    assert set(z.tolist()) <= {0.0, 1.0}
    assert int(z.sum()) == n


def test_inclusion_probabilities_hold():
    q = torch.linspace(-3, 3, 10)
    p = inclusion_probabilities(q, 4)
    generator = torch.Generator().manual_seed(0)
    draws = 4000
    total = sum(sample_without_replacement(p, 4, generator) for _ in range(draws))
    sigma = (p * (1 - p) / draws).sqrt()
    assert ((total / draws - p).abs() < 4.5 * sigma + 1e-3).all()
    # Pairs happen, too: a fixed order would never open some neighbours together.
    pairs = torch.zeros(10, 10)
    for _ in range(500):
        z = sample_without_replacement(torch.full((10,), 0.4), 4, generator).float()
        pairs += torch.outer(z, z)
    assert (pairs > 0).all()


def test_gradient_of_the_probabilities():
    q = torch.linspace(-2, 2, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: inclusion_probabilities(x, 2), (q,), atol=1e-6)
    jacobian = torch.autograd.functional.jacobian(lambda x: inclusion_probabilities(x, 2), q)
    torch.testing.assert_close(jacobian.sum(0), torch.zeros(6).double(), atol=1e-9, rtol=0)


@torch.no_grad()
def test_closed_gates_are_pruned_blocks():
    unet, args = small_unet(), arguments(batch=2)
    want_all = unet(*args)
    pruner = TemporalBlockPruner(unet, 5)
    torch.testing.assert_close(unet(*args), want_all)  # no gates before the first sample
    pruner.importance.copy_(torch.randn(len(pruner.blocks)))
    pruner.fix_top()
    gated = unet(*args)
    keep = pruner.top()
    pruned = pruner.keep_top()
    assert list(pruned.config.temporal_blocks) == keep
    assert len(keep) == 5
    torch.testing.assert_close(pruned(*args), gated, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(unet(*args), want_all)  # the hooks are gone
    assert (gated - want_all).abs().max() > 1e-3
    again = create_unet(UNetConfig.from_dict(pruned.config.to_dict())).double()
    again.load_state_dict(pruned.state_dict())
    assert torch.equal(again(*args), pruned(*args))


def test_full_size_keeps_exactly_n():
    """SVD's own 38 blocks, on the meta device: what goes is really gone."""
    with torch.device("meta"):
        unet = create_unet("svd-512x256")
    pruner = TemporalBlockPruner(unet, 12)
    for seed in range(5):
        assert int(pruner.sample(torch.Generator().manual_seed(seed)).sum()) == 12
    with torch.no_grad():
        pruner.importance.copy_(torch.randn(38, generator=torch.Generator().manual_seed(0)))
    keep = pruner.top()
    assert [i for i, b in enumerate(pruner.blocks) if b in keep] == sorted(
        pruner.importance.topk(12).indices.tolist()
    )
    pruned = pruner.keep_top()
    gone = [b for b in pruner.blocks if b not in keep]
    names = [n for n, _ in pruned.named_modules()]
    assert not [n for n in names if any(n == g or n.startswith(g + ".") for g in gone)]
    assert all(k in names for k in keep)
    lost = sum(p.numel() for p in unet.parameters()) - sum(p.numel() for p in pruned.parameters())
    blocks = sum(p.numel() for g in gone for p in unet.get_submodule(g).parameters())
    positions = [g.rpartition(".")[0] + ".time_pos_embed" for g in gone if "transformer" in g]
    blocks += sum(p.numel() for g in positions for p in unet.get_submodule(g).parameters())
    assert lost == blocks + len(gone)  # and one blend weight each
    for n in (-1, 39):
        with pytest.raises(ValueError, match=rf"must be in 0\.\.38, not {n}"):
            TemporalBlockPruner(unet, n)


def test_gradients_pass_straight_through():
    """d loss / d q is the gradient with respect to the gates, carried to p."""
    unet, args = small_unet(), arguments()
    pruner = TemporalBlockPruner(unet, 6)
    gates = pruner.sample(torch.Generator().manual_seed(3))
    assert int(gates.sum()) == 6
    gates.retain_grad()
    unet(*args).square().mean().backward()
    assert (gates.grad != 0).all()  # closed blocks learn, too
    p = inclusion_probabilities(pruner.importance, 6)
    (want,) = torch.autograd.grad(p, pruner.importance, gates.grad)
    torch.testing.assert_close(pruner.importance.grad, want)
    assert [n for n, _ in pruner.named_parameters()] == ["importance"]


def test_importance_finds_the_block_that_matters():
    """A loss that only one block lowers: its importance becomes the greatest."""
    unet = small_unet()
    pruner = TemporalBlockPruner(unet, 3)
    optimizer = torch.optim.SGD([pruner.importance], lr=1.0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        optimizer.zero_grad()
        (1.0 - pruner.sample(generator)[7]).backward()
        optimizer.step()
    assert pruner.blocks[7] in pruner.top()
    assert int(pruner.importance.argmax()) == 7
    assert float(pruner.probabilities().detach()[7]) > 0.8


@pytest.mark.parametrize("n", [0, 1, 24])
@torch.no_grad()
def test_any_number_can_be_kept(n):
    unet = small_unet()
    blocks = temporal_blocks(unet.config)
    pruner = TemporalBlockPruner(unet, n)
    assert int(pruner.sample().sum()) == n
    pruned = pruner.keep_top()
    assert len(temporal_blocks(pruned.config)) == n == len(mixers(pruned))
    assert pruned(*arguments()).isfinite().all()
    assert len(blocks) == 24
    names = [k for k in pruned.state_dict() if "temporal" in k or "time_pos_embed" in k]
    assert bool(names) == (n > 0)


def test_l1_alternative():
    unet, args = small_unet(), arguments()
    pruner = L1Pruner(unet, 1, strength=0.5)
    torch.testing.assert_close(pruner.penalty(), 0.5 * pruner.weights().sum())
    pruner.penalty().backward()
    for mixer in mixers(unet).values():
        assert float(mixer.mix_factor.grad) < 0  # a step makes alpha larger, the block smaller
    block = "mid_block.resnets.1.temporal_res_block"
    with torch.no_grad():
        mixers(unet)[block].mix_factor.fill_(-4.0)
        assert pruner.weights().argmax() == pruner.blocks.index(block)
        ungated = unet(*args)
        pruner.fix_top()
        gated = unet(*args)
        assert not torch.equal(gated, ungated)
        # What happens to the blends later does not change the choice.
        mixers(unet)[pruner.blocks[0]].mix_factor.fill_(-9.0)
        other = L1Pruner(small_unet(), 1)
        other.load_state_dict(pruner.state_dict())
        assert pruner.top() == other.top() == [block]
        pruned = pruner.keep_top()
        assert pruned.config.temporal_blocks == (block,)
        torch.testing.assert_close(pruned(*args), gated)


def test_bad_input():
    unet = small_unet()
    for n in (-1, 25):
        with pytest.raises(ValueError, match=rf"must be in 0\.\.24, not {n}"):
            TemporalBlockPruner(unet, n)
        with pytest.raises(ValueError, match=rf"must be in 0\.\.24, not {n}"):
            L1Pruner(unet, n)
    with pytest.raises(ValueError, match="no temporal block nowhere"):
        prune_temporal_blocks(unet, ["nowhere"])
    pruned = prune_temporal_blocks(unet, [])
    with pytest.raises(ValueError, match=r"no temporal block down_blocks\.0"):
        prune_temporal_blocks(pruned, temporal_blocks(CONFIG)[:1])
