"""IRE starts when the training loss has fallen: at the same step however often the trial is stopped."""

import dataclasses

import pytest
import torch

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from search_spaces import find_space
from trainables.task import load_task
from trainables.training.loop import FINISHED, STOPPED, train
from trainables.training.start import LossTrigger
from trainables.training.training import Training

CLOCKS = ("seconds", "steps_per_second")


def curve(spec, **options):
    reports = []
    status = train(
        spec, lambda r, _: reports.append({k: v for k, v in r.items() if k not in CLOCKS}) or True, **options
    )
    return status, reports


@pytest.fixture
def by_loss(make_spec):
    """A digits trial whose loss falls below 1.5 long before its latest start."""
    settings = {"start_fraction": 0.95, "start_loss": 1.5, "interval": 3}
    return make_spec("sgd-ire", settings=settings, horizon=60, eval_interval=7)


def test_it_starts_at_the_first_step_whose_mean_loss_is_low_enough(by_loss):
    training = Training(load_task("digits"), by_loss, device=torch.device("cpu"))
    losses = []
    sums = 0.0
    while training.start == 57:
        training.advance()  # a hundredth of this horizon is one step
        losses.append(training.progress.loss_sum.item() - sums)
        sums = training.progress.loss_sum.item()
    assert losses[-1] <= 1.5 < min(losses[:-1])
    assert training.start == training.step == len(losses)
    training.advance()
    assert training.optimizer.kappa_in_force == by_loss.settings["kappa"]


def test_gradient_evaluations_are_exact_once_the_start_is_known_and_bounded_before(by_loss):
    status, reports = curve(by_loss)
    assert status == FINISHED
    method = parse_method("sgd-ire")
    start = reports[-1]["ire_start"]
    assert 0 < start < 57
    for report in reports:
        step = report["step"]
        exact = method.gradient_evaluations(by_loss.settings, 60, steps=step, start=start)
        assert report["gradient_evaluations"] == exact
        assert exact <= method.gradient_evaluations(by_loss.settings, 60, steps=step)
        assert report["ire_start"] == (start if step >= start else None)


def test_until_then_it_is_bitwise_the_base_and_a_resumed_trial_starts_at_the_same_step(
    by_loss, make_spec, tmp_path
):
    whole = curve(by_loss)
    _, base = curve(make_spec("sgd", horizon=60, eval_interval=7))
    start = whole[1][-1]["ire_start"]
    before = [r for r in whole[1] if r["step"] <= start]
    assert [{k: r[k] for k in base[0]} for r in before] == base[: len(before)]
    for stop in (7, 14, 28):
        path = tmp_path / f"{stop}.pt"
        stopped = train(by_loss, lambda r, _, at=stop: r["step"] < at, checkpoint=path, checkpoint_seconds=0)
        assert stopped == STOPPED
        assert curve(by_loss, checkpoint=path) == whole


def test_a_mean_goes_on_over_a_checkpoint():
    losses = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64)
    make = lambda: LossTrigger(1.0, horizon=400, device=torch.device("cpu"), mean=lambda value: value)  # noqa: E731
    whole = make()
    reached = [whole.reached(loss, step) for step, loss in enumerate(losses, 1)]
    assert reached == [False] * 7 + [True]  # means of four: 2.5, then 0.5
    first, second = make(), make()
    for step in range(1, 7):
        first.reached(losses[step - 1], step)
    second.load(first.state())
    assert [second.reached(losses[step - 1], step) for step in (7, 8)] == [False, True]


def test_kappa_may_follow_the_learning_rate(make_spec):
    settings = {"kappa_follows_lr": True, "start_fraction": 0.25, "warmup_fraction": 0.0}
    spec = make_spec("sgd-ire", settings=settings, schedule="steps 0.5 / 10", horizon=20, eval_interval=5)
    _, reports = curve(spec)
    kappa = spec.settings["kappa"]
    assert [r["kappa"] for r in reports] == pytest.approx([0.0, kappa, kappa / 10, kappa / 10])
    constant = dataclasses.replace(spec, settings=spec.settings | {"kappa_follows_lr": False})
    assert [r["kappa"] for r in curve(constant)[1]] == [0.0, kappa, kappa, kappa]


def test_a_start_may_be_given_in_steps_or_epochs():
    space = find_space("cifar10-resnet56")
    assert space.in_fractions({"start_epoch": 30})["start_fraction"] * space.horizon == pytest.approx(
        30 * 351
    )
    assert space.in_fractions({"start_step": 500})["start_fraction"] * space.horizon == pytest.approx(500)
    for settings, message in (
        ({"start_epoch": 100}, r"must be a number in \[0, 100\)"),
        ({"start_step": 5, "start_fraction": 0.5}, "give only one of them"),
    ):
        with pytest.raises(InvalidInput, match=message):
            space.in_fractions(settings, where="--set")
    with pytest.raises(InvalidInput, match="has no epoch_steps"):
        find_space("wikitext2").in_fractions({"start_epoch": 1}, where="--set")
