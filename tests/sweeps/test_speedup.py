"""The definition as literal tables: small curves with the answer worked out beside them."""

import math

import numpy as np
import pytest

from sweeps.speedup import Ratio, SpeedUp, speed_up, time_to_target


@pytest.mark.parametrize(
    ("losses", "target", "time"),
    [
        ([4.0, 3.0, 2.0, 1.0], 2.0, 30.0),  # met at an evaluation
        ([4.0, 3.0, 2.0, 1.0], 2.5, 25.0),  # half-way between two
        ([4.0, 3.0, 2.0, 1.0], 5.0, 10.0),  # met at the first
        ([4.0, 3.0, 2.0, 1.0], 0.5, math.inf),  # never
        ([4.0, 1.0, 3.0, 0.5], 2.0, 10 + 10 * 2 / 3),  # the first time counts, also if it rises again
        ([2.0, 2.0, 2.0, 2.0], 2.0, 10.0),
    ],
)
def test_time_to_target_by_hand(losses, target, time):
    assert time_to_target(np.array([10.0, 20.0, 30.0, 40.0]), np.array(losses), target) == pytest.approx(time)


def curve(losses, *, gradients=1.0, rate=100.0):
    return [
        {
            "step": 10 * i,
            "gradient_evaluations": 10 * i * gradients,
            "val_loss": loss,
            "seconds": 10 * i / rate,
        }
        for i, loss in enumerate(losses, start=1)
    ]


BASELINE = [4.0, 3.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("method", "steps", "gradients", "wall"),
    [
        (curve(BASELINE), Ratio(value=1.0), Ratio(value=1.0), Ratio(value=1.0)),
        # the target 1.0 is met at step 20 instead of 40; at two gradients a step nothing is won
        (curve([2.0, 1.0, 0.5, 0.4], gradients=2, rate=50), Ratio(value=2), Ratio(value=1), Ratio(value=1)),
        # met at step 25: 40 / 25
        (curve([4.0, 1.5, 0.5, 0.4]), Ratio(value=1.6), Ratio(value=1.6), Ratio(value=1.6)),
        # never met: at most 40 / 40, and half of it in gradients
        (
            curve([4.0, 3.0, 2.0, 1.1], gradients=2),
            Ratio(value=1, censored=True),
            Ratio(value=0.5, censored=True),
            Ratio(value=1, censored=True),
        ),
    ],
)
def test_speed_up_by_hand_on_three_clocks(method, steps, gradients, wall):
    for clock, expected in (("step", steps), ("gradient_evaluations", gradients), ("wall", wall)):
        found = speed_up([curve(BASELINE)], [method], clock).ratio
        assert (found.value, found.censored) == (pytest.approx(expected.value), expected.censored)


def test_a_method_against_itself_is_never_called_faster_or_slower():
    draws = np.random.default_rng(0)
    wrong = 0
    for case in range(60):
        noise = draws.normal(0, 0.05, (10, 1))
        curves = [curve([4 + n, 3 + n, 2 + n, 1 + n]) for (n,) in noise]
        found = speed_up(curves[:5], curves[5:], "step", seed=case)
        wrong += found.verdict == "faster"
    assert wrong <= 3


def test_a_true_speed_up_of_two_is_found_with_its_interval():
    draws = np.random.default_rng(1)
    fall = lambda step, scale, noise: 1 + 3 * math.exp(-step * scale / 100) + noise  # noqa: E731
    noise = draws.normal(0, 0.01, 5)
    steps = range(10, 401, 10)
    base = [curve([fall(s, 1, n) for s in steps]) for n in noise]
    fast = [curve([fall(s, 2, n) for s in steps]) for n in noise]
    found = speed_up(base, fast, "step")
    assert found.ratio.value == pytest.approx(2.0, rel=0.02)
    assert found.low.value <= 2.0 <= found.high.value + 0.02
    assert found.verdict == "faster"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (Ratio(value=1.06), Ratio(value=1.5), "faster"),
        (Ratio(value=1.04), Ratio(value=1.5), "not shown"),  # within the margin
        (Ratio(value=1.2, censored=True), Ratio(value=1.5), "not shown"),  # at most 1.2 says nothing
        (Ratio(value=0.5), Ratio(value=0.99), "slower"),
        (Ratio(value=0.5, censored=True), Ratio(value=0.9, censored=True), "slower"),
    ],
)
def test_the_verdict_by_hand(low, high, verdict):
    assert SpeedUp(ratio=Ratio(value=1.0), low=low, high=high, seeds=5).verdict == verdict


def test_one_seed_two_seeds_or_lost_seeds_make_no_verdict():
    fields = {"ratio": Ratio(value=2.0), "low": Ratio(value=1.9), "high": Ratio(value=2.1)}
    assert SpeedUp(**fields, seeds=3).verdict == "faster"
    assert SpeedUp(**fields, seeds=2).verdict == "not shown"
    assert SpeedUp(**fields, seeds=3, whole=False).verdict == "not shown"
    alone = speed_up([curve(BASELINE)], [curve([2.0, 1.0, 0.5, 0.4])], "step")
    assert (alone.verdict, str(alone)) == ("not shown", "2.00 (one seed)")


def test_wall_clock_counts_every_second_of_training():
    slow_end = curve(BASELINE)  # the same curve; its second half takes ten times as long
    for report, seconds in zip(slow_end, (0.1, 0.2, 1.2, 2.2), strict=True):
        report["seconds"] = seconds
    assert speed_up([curve(BASELINE)], [slow_end], "wall").ratio.value == pytest.approx(0.4 / 2.2)


def test_how_it_is_printed():
    found = SpeedUp(
        ratio=Ratio(value=1.5), low=Ratio(value=0.98, censored=True), high=Ratio(value=2.0), seeds=5
    )
    assert str(found) == "1.50 [≤0.98, 2.00]"
