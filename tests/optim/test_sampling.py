"""Labels drawn from the model: the right distribution, from the right generator, on the right rows."""

import pytest
import torch
import torch.nn.functional as F

from ire import sampled_nll
from ire.optim.curvature.sampling import _draw


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_labels_follow_the_softmax():
    logits = torch.tensor([2.0, -1.0, 0.5, float("-inf"), 1.0]).repeat(200_000, 1)
    counts = torch.bincount(_draw(logits, generator(), 0, 1), minlength=5)
    expected = 200_000 * logits[0].softmax(0)
    assert counts[3] == 0
    chi_square = ((counts - expected) ** 2 / expected.clamp(min=1)).sum()
    assert chi_square < 16.3  # 3 degrees of freedom, p = 0.001


def test_certain_predictions_are_drawn_with_certainty():
    labels = torch.arange(7) % 3
    assert torch.equal(_draw(F.one_hot(labels, 3) * 1e4, generator(), 0, 1), labels)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4), (4,)])
def test_is_the_mean_loss_of_the_drawn_labels(dtype, shape):
    logits = torch.randn(shape, generator=generator(1)).to(dtype)
    labels = _draw(logits, generator(5), 0, 1)
    wide = logits if dtype == torch.float64 else logits.float()
    expected = F.cross_entropy(wide.reshape(-1, 4), labels.reshape(-1))
    axis = None if len(shape) > 1 else 0  # a single example has to say so
    torch.testing.assert_close(sampled_nll(logits, class_axis=axis, generator=generator(5)), expected)


def test_ignored_positions_have_no_gradient():
    logits = torch.randn(3, 5, 4, generator=generator(), requires_grad=True)
    targets = torch.zeros(3, 5, dtype=torch.long)
    targets[1] = targets[2, 3] = -1
    sampled_nll(logits, targets=targets, ignore_index=-1, generator=generator()).backward()
    moved = logits.grad.abs().sum(-1) > 0
    assert torch.equal(moved, targets == 0)
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("targets", [None, torch.tensor([1, 2, 3, 1, 0, 2])])
def test_an_ignored_class_may_still_be_drawn(targets):
    """As padding with index 0 may: only the targets tell what is left out."""
    logits = torch.tensor([9.0, 0.0, 0.0, 0.0]).repeat(6, 1).requires_grad_()
    labels = _draw(logits.detach(), generator(), 0, 1)
    assert (labels == 0).all()
    counting = slice(None) if targets is None else targets != 0
    loss = sampled_nll(logits, targets=targets, ignore_index=0, generator=generator())
    torch.testing.assert_close(loss, F.cross_entropy(logits[counting], labels[counting]))


@pytest.mark.parametrize("trailing", [(), (5,), (2, 3)])
def test_two_workers_draw_what_one_would(trailing):
    logits = torch.randn(8, *trailing, 6, generator=generator(2))
    whole = _draw(logits, generator(7), 0, 1)
    parts = [_draw(logits[4 * r : 4 * r + 4], generator(7), r, 2) for r in range(2)]
    assert torch.equal(torch.cat(parts), whole)


def test_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    sampled_nll(torch.randn(4, 3, generator=generator()), generator=generator())
    assert torch.equal(torch.get_rng_state(), state)


def test_never_looks_at_true_labels():
    logits = torch.randn(9, 4, generator=generator())
    losses = {
        float(sampled_nll(logits, targets=torch.full((9,), label), generator=generator(4)))
        for label in range(4)
    }
    assert len(losses) == 1


def test_no_class_in_unsigned_bytes_is_taken_for_ignored():
    logits, targets = torch.randn(2, 200, generator=generator()), torch.tensor([0, 156])
    losses = [sampled_nll(logits, targets=it, generator=generator(1)) for it in (targets, targets.byte())]
    assert torch.equal(*losses)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"targets": torch.zeros(4, dtype=torch.long)}, "without the class axis"),
        ({"rank": 2, "world_size": 2}, "rank=2 and world_size=2"),
        (
            {"targets": torch.zeros(3, dtype=torch.long), "ignore_index": None},
            "ignore_index must be a number .* None",
        ),
        (
            {"targets": torch.zeros(3, dtype=torch.long), "ignore_index": float("nan")},
            "targets can equal, got nan",
        ),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        sampled_nll(torch.zeros(3, 4), **arguments)
