"""`deterministic` is that of the trial, and of nothing after it."""

import pytest
import torch

from trainables.training.determinism import WORKSPACE
from trainables.training.loop import train


def flags():
    cudnn = torch.backends.cudnn
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        cudnn.benchmark,
        cudnn.deterministic,
    )


@pytest.mark.parametrize("wanted", [False, True])
def test_the_flags_are_set_while_it_trains_and_put_back(make_spec, monkeypatch, wanted):
    monkeypatch.delenv(WORKSPACE, raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before, inside = flags(), []
    spec = make_spec("sgd-ire", horizon=4, eval_interval=4, deterministic=wanted)
    train(spec, lambda *_: (inside.append(flags()), True)[1])
    assert flags() == before
    assert inside == [(True, True, False, True) if wanted else before]


def test_an_error_puts_them_back_too(make_spec):
    before = flags()

    def fail(*_):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        train(make_spec(horizon=4, eval_interval=4, deterministic=True), fail)
    assert flags() == before


def test_on_a_cpu_it_changes_no_bit(make_spec):
    ends = []
    for wanted in (False, True):
        spec = make_spec("adamw-ire", horizon=12, eval_interval=12, deterministic=wanted)
        train(spec, lambda report, _: (ends.append((report["train_loss"], report["val_loss"])), True)[1])
    assert ends[0] == ends[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu_the_same_trial_twice_is_bitwise_the_same(make_spec, precision):
    ends = []
    for _ in range(2):
        spec = make_spec("adamw-ire", horizon=40, eval_interval=40, deterministic=True, precision=precision)
        train(spec, lambda report, _: (ends.append(report["train_loss"]), True)[1], device="cuda")
    assert ends[0] == ends[1]
