"""The chunked cross-entropy of an output layer is the plain one: values, gradients, drawn labels."""

import pytest
import torch
from torch.nn import functional as F

import trainables.models.linear_cross_entropy as module
from ire.optim import sampled_nll
from trainables.models.linear_cross_entropy import (
    drawn,
    drawn_by_blocks,
    linear_cross_entropy,
    linear_metric_sums,
)

ROWS, DIM, WORDS = 23, 5, 11


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", 4 * WORDS)  # six chunks, the last one smaller


def parts(dtype=torch.float64, ignored=()):
    draws = torch.Generator().manual_seed(0)
    hidden = torch.randn(ROWS, DIM, generator=draws, dtype=dtype, requires_grad=True)
    weight = torch.randn(WORDS, DIM, generator=draws, dtype=dtype, requires_grad=True)
    targets = torch.randint(WORDS, (ROWS,), generator=draws)
    targets[list(ignored)] = -100
    return hidden, weight, targets


def gradients(loss, *tensors):
    return torch.autograd.grad(2.5 * loss, tensors)


@pytest.mark.parametrize("ignored", [(), (0, 5, 22)])
def test_loss_and_gradients_are_those_of_the_plain_cross_entropy(ignored):
    hidden, weight, targets = parts(ignored=ignored)
    plain = F.cross_entropy(hidden @ weight.t(), targets)
    chunked = linear_cross_entropy(hidden, weight, targets)
    torch.testing.assert_close(chunked.double(), plain, rtol=1e-6, atol=0)
    torch.testing.assert_close(
        gradients(chunked, hidden, weight), gradients(plain, hidden, weight), rtol=1e-6, atol=1e-7
    )


def test_nothing_that_counts_is_nan_as_for_the_plain_one():
    hidden, weight, targets = parts(ignored=range(ROWS))
    assert linear_cross_entropy(hidden, weight, targets).isnan()


def test_an_output_layer_that_is_not_trained_gets_no_gradient():
    hidden, weight, targets = parts()
    weight.requires_grad_(False)
    linear_cross_entropy(hidden, weight, targets).backward()
    assert hidden.grad is not None and weight.grad is None


def test_autocast_multiplies_in_bfloat16_and_keeps_gradients_in_single_precision():
    hidden, weight, targets = parts(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        plain = F.cross_entropy(hidden @ weight.t(), targets)
        chunked = linear_cross_entropy(hidden, weight, targets)
    torch.testing.assert_close(chunked, plain, rtol=1e-5, atol=0)
    for ours, theirs in zip(
        gradients(chunked, hidden, weight), gradients(plain, hidden, weight), strict=True
    ):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.002)


def test_sampled_labels_are_those_of_sampled_nll():
    hidden, weight, targets = parts(torch.float32, ignored=(3,))
    logits = hidden @ weight.t()
    plain = sampled_nll(logits, targets=targets, generator=torch.Generator().manual_seed(1))
    uniforms = torch.rand(ROWS, generator=torch.Generator().manual_seed(1))
    chunked = linear_cross_entropy(hidden, weight, targets, uniforms=uniforms)
    torch.testing.assert_close(chunked, plain)
    torch.testing.assert_close(gradients(chunked, hidden, weight), gradients(plain, hidden, weight))


@pytest.mark.parametrize("vocabulary", [5, 128, 300])
def test_labels_drawn_block_by_block_are_the_same(vocabulary):
    draws = torch.Generator().manual_seed(vocabulary)
    logits = 3 * torch.randn(500, vocabulary, generator=draws)
    uniforms = torch.rand(500, generator=draws)
    uniforms[:2] = torch.tensor([0.0, 1 - 2**-24])
    assert torch.equal(drawn_by_blocks(logits, uniforms), drawn(logits, uniforms))


def test_metric_sums_are_those_of_whole_logits():
    hidden, weight, targets = parts()
    logits = hidden @ weight.t()
    sums = linear_metric_sums(hidden, weight, targets)
    torch.testing.assert_close(sums["loss"], F.cross_entropy(logits, targets, reduction="sum"))
    assert sums["accuracy"] == (logits.argmax(-1) == targets).sum() and sums["count"] == ROWS


def test_logits_of_a_whole_batch_never_exist():
    hidden, weight, targets = parts(torch.float32)
    sizes = []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.append(result.numel() if torch.is_tensor(result) else 0)
            return result

    with Sizes():
        linear_cross_entropy(hidden, weight, targets).backward()
    assert max(sizes) <= max(4 * WORDS, hidden.numel(), weight.numel())
