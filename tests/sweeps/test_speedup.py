"""The definitions as literal tables: small curves with the answer worked out beside them."""

import math

import numpy as np
import pytest

from ire.sweeps.findings.statistics.draws import interval, median_draws, paired_draws
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN, WITHIN, decreasing, equal_horizon
from ire.sweeps.findings.statistics.speedup import Ends, speed_ups
from ire.sweeps.findings.statistics.target import best_run_ratio, time_to_target_ratio, times_to_target
from ire.sweeps.findings.statistics.verdict import (
    FASTER,
    NOT_SHOWN,
    SLOWER,
    Ratio,
    SpeedUp,
    holm,
    speed_up_from_draws,
    verdicts,
)

FACTORS = np.array([0.5, 1.0, 2.0, 4.0])
CURVE = [4.0, 3.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("losses", "fitted"),
    [
        ([4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]),
        ([4.0, 2.0, 3.0, 1.0], [4.0, 2.5, 2.5, 1.0]),  # a rise is pooled
        ([1.0, 2.0, 3.0, 4.0], [2.5, 2.5, 2.5, 2.5]),  # nothing but rises
        ([3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0]),
        ([5.0, 1.0, 2.0, 3.0], [5.0, 2.0, 2.0, 2.0]),
    ],
)
def test_the_monotone_curve_by_hand(losses, fitted):
    assert decreasing(np.array([losses]))[0] == pytest.approx(fitted)


def test_the_monotone_curve_is_that_of_pooling_adjacent_violators():
    from sklearn.isotonic import IsotonicRegression

    losses = np.random.default_rng(0).normal(size=(200, 7)).cumsum(axis=1)
    reference = [IsotonicRegression(increasing=False).fit_transform(np.arange(7), row) for row in losses]
    np.testing.assert_allclose(decreasing(losses), reference, atol=1e-12)


@pytest.mark.parametrize(
    ("losses", "gain", "horizon", "censored"),
    [
        (CURVE, 0.0, 1.0, WITHIN),  # as good as the baseline at its own horizon
        (CURVE, 1.0, 2.0, WITHIN),  # as good as twice as long
        (CURVE, 0.5, math.sqrt(2), WITHIN),  # half-way in log horizon
        (CURVE, 2.0, 4.0, WITHIN),  # the end of the curve, just reached
        (CURVE, 2.1, 4.0, ABOVE),  # beyond it: never extrapolated
        (CURVE, -0.5, math.sqrt(0.5), WITHIN),
        (CURVE, -1.0, 0.5, WITHIN),
        (CURVE, -1.1, 0.5, BELOW),
        ([4.0, 3.0, 3.0, 2.0], 0.0, 1.0, WITHIN),  # a flat stretch beside 1 is in nobody's favour
        ([3.0, 3.0, 2.0, 1.0], 0.0, 1.0, WITHIN),
        # the flat stretch is crossed; the cubic from 3 to 2 starts level, and is 2.5 where 3t² - t³ = 1
        ([4.0, 3.0, 3.0, 2.0], 0.5, 2 * 2**0.65270, WITHIN),
        ([4.0, 2.0, 3.0, 1.0], 0.0, 1.0, WITHIN),  # not monotone: 2 and 3 are pooled, and a tie is a tie
        ([4.0, 2.0, 3.0, 1.0], 1.5, 4.0, WITHIN),  # from the pooled 2.5 down to 1
        ([3.0, 3.0, 3.0, 3.0], 0.1, 4.0, ABOVE),  # a baseline that does not profit from time at all
        ([3.0, 3.0, 3.0, 3.0], -0.1, 0.5, BELOW),
    ],
)
def test_the_equal_horizon_by_hand(losses, gain, horizon, censored):
    values, bounds = equal_horizon(FACTORS, np.array([losses]), np.array([gain]))
    assert (values[0], bounds[0]) == (pytest.approx(horizon, rel=1e-3), censored)


def ends(losses, *, seconds=0.01, gradients=1.0):
    losses = losses if isinstance(losses, dict) else dict(enumerate(losses))
    return Ends(losses=losses, step_seconds=dict.fromkeys(losses, seconds), gradients_per_step=gradients)


def baseline(seeds=3):
    return {f: ends([loss + 0.01 * i for i in range(seeds)]) for f, loss in zip(FACTORS, CURVE, strict=True)}


@pytest.mark.parametrize(
    ("method", "steps", "gradients", "wall"),
    [
        (ends([3.0, 3.01, 3.02]), 1.0, 1.0, 1.0),
        (ends([2.0, 2.01, 2.02]), 2.0, 2.0, 2.0),
        (ends([2.0, 2.01, 2.02], gradients=2.0, seconds=0.02), 2.0, 1.0, 1.0),  # SAM: nothing is won
        (ends([2.0, 2.01, 2.02], gradients=1.1, seconds=0.0125), 2.0, 2 / 1.1, 1.6),
        (ends([4.0, 4.01, 4.02], seconds=0.005), 0.5, 0.5, 1.0),
    ],
)
def test_speed_up_by_hand_on_three_clocks(method, steps, gradients, wall):
    found, draws = speed_ups(baseline(), method, np.random.default_rng(0))
    expected = {"step": steps, "gradient_evaluations": gradients, "wall": wall}
    assert {clock: s.ratio.value for clock, s in found.items()} == pytest.approx(expected)
    assert all(s.seeds == 3 and s.ratio.censored == WITHIN for s in found.values())
    # runs that differ by the same in every pair leave no doubt
    assert found["step"].low.value == pytest.approx(steps)
    assert found["step"].high.value == pytest.approx(steps)
    assert set(draws) == set(found)


def test_bounds_keep_their_side_on_every_clock():
    found, _ = speed_ups(baseline(), ends([0.0, 0.01, 0.02], gradients=2.0), np.random.default_rng(0))
    assert str(found["step"]) == "≥4.00 [≥4.00, ≥4.00]"
    assert str(found["gradient_evaluations"]) == "≥2.00 [≥2.00, ≥2.00]"


def test_only_seeds_that_all_have_count_and_fewer_than_planned_make_no_verdict():
    curve = baseline(4)
    method = ends({1: 2.01, 2: 2.02, 9: 77.0})  # seed 9 has no partner
    found, _ = speed_ups(curve, method, np.random.default_rng(0), planned=2)
    assert (found["step"].seeds, found["step"].ratio.value) == (2, pytest.approx(2.0))
    assert found["step"].whole
    curve[4.0] = ends({0: 1.0, 1: 1.01})  # seed 2 has not run there yet
    found, _ = speed_ups(curve, method, np.random.default_rng(0), planned=2)
    assert (found["step"].seeds, found["step"].ratio.value) == (1, pytest.approx(2.0))
    assert not found["step"].whole
    assert speed_ups({1.0: curve[1.0]}, method, np.random.default_rng(0)) == ({}, {})
    assert speed_ups(curve, ends({9: 1.0}), np.random.default_rng(0)) == ({}, {})


def test_one_run_that_took_far_longer_does_not_decide_the_wall_clock():
    method = ends([3.0, 3.01, 3.02, 3.03, 3.04])
    slow = Ends(
        losses=method.losses, step_seconds=dict(method.step_seconds) | {4: 1.0}, gradients_per_step=1.0
    )
    found, _ = speed_ups(baseline(5), slow, np.random.default_rng(0))
    assert found["wall"].ratio.value == pytest.approx(1.0)
    assert found["wall"].low.value < 0.1, "but it widens the interval"


def test_draws_of_a_mean_have_the_interval_of_a_t_test_and_keep_pairs_together():
    values = np.random.default_rng(3).normal(size=(5, 2))
    values[:, 1] = values[:, 0] + 1.0
    draws = paired_draws(values, np.random.default_rng(0), 200_000)
    np.testing.assert_allclose(draws[:, 1] - draws[:, 0], 1.0)
    half = 2.776 * values[:, 0].std(ddof=1) / math.sqrt(5)  # Student's t, 4 degrees of freedom
    low, high = interval(draws[:, 0])
    assert (low, high) == pytest.approx(
        (values[:, 0].mean() - half, values[:, 0].mean() + half), abs=0.02 * half
    )
    assert (paired_draws(values[:1], np.random.default_rng(0), 3) == values[0]).all()


def test_a_median_of_many_is_resampled_and_of_few_drawn_like_a_mean():
    many, few = np.array([1.0, 2.0, 3.0, 4.0, 90.0]), np.array([1.0, 2.0, 6.0])
    assert set(median_draws(many, np.random.default_rng(0))) <= set(many)
    half = (
        4.303 * few.std(ddof=1) / math.sqrt(3) * math.sqrt(math.pi / 2)
    )  # Student's t, 2 degrees of freedom
    found = interval(median_draws(few, np.random.default_rng(0), 200_000))
    assert found == pytest.approx((2.0 - half, 2.0 + half), abs=0.03 * half)
    assert set(median_draws(few[:1], np.random.default_rng(0))) == {1.0}


def judged(low, high, *, p_faster=0.001, p_slower=0.5, seeds=5, whole=True):
    return SpeedUp(
        ratio=Ratio(value=1.0),
        low=Ratio(value=low),
        high=Ratio(value=high),
        seeds=seeds,
        p_faster=p_faster,
        p_slower=p_slower,
        whole=whole,
    )


@pytest.mark.parametrize(
    ("draws", "censored", "verdict"),
    [
        ([1.2] * 99, [WITHIN] * 99, FASTER),
        ([1.04] * 99, [WITHIN] * 99, NOT_SHOWN),  # within the margin
        ([2.0] * 99, [ABOVE] * 99, FASTER),
        ([1.2] * 99, [BELOW] * 99, NOT_SHOWN),  # at most 1.2 says nothing
        ([0.9] * 99, [WITHIN] * 99, SLOWER),
        ([0.5] * 99, [BELOW] * 99, SLOWER),
        ([0.9] * 99, [ABOVE] * 99, NOT_SHOWN),  # at least 0.9 says nothing
        ([1.0] * 99, [WITHIN] * 99, NOT_SHOWN),
        ([1.2] * 90 + [1.0] * 9, [WITHIN] * 99, NOT_SHOWN),
    ],
)
def test_the_verdict_by_hand(draws, censored, verdict):
    found = speed_up_from_draws(1.0, WITHIN, np.array(draws), np.array(censored), seeds=5)
    assert verdicts({"m": found})["m"] == verdict


@pytest.mark.parametrize(
    ("draws", "censored", "told"),
    [
        ([0.5] * 50 + [0.8] * 50, [BELOW] * 50 + [WITHIN] * 50, "[≤0.50, 0.80]"),
        # what is at most 0.9 may be far below 0.6; one in a hundred of them is no more than the tail
        ([0.9] * 50 + [0.6] * 50, [BELOW] * 50 + [WITHIN] * 50, "[≤0.60, 0.90]"),
        ([0.9] + [0.6] * 99, [BELOW] + [WITHIN] * 99, "[0.60, 0.60]"),
        ([2.0] * 50 + [1.5] * 50, [ABOVE] * 50 + [WITHIN] * 50, "[1.50, ≥2.00]"),
        ([2.0] * 100, [ABOVE] * 100, "[≥2.00, ≥2.00]"),
        ([0.5] * 100, [BELOW] * 100, "[≤0.50, ≤0.50]"),
        ([0.5] * 50 + [2.0] * 50, [BELOW] * 50 + [ABOVE] * 50, "[≤0.50, ≥2.00]"),
        ([1.2] * 100, [UNKNOWN] * 100, "[?1.00, ?1.00]"),
    ],
)
def test_ends_of_an_interval_are_numbers_only_if_what_is_beyond_bounds_cannot_move_them(
    draws, censored, told
):
    found = speed_up_from_draws(1.0, WITHIN, np.array(draws), np.array(censored), seeds=5)
    assert f"[{found.low}, {found.high}]" == told


def test_the_best_of_several_baselines_makes_slower_harder_to_show():
    slow = {"m": judged(0.7, 0.95, p_faster=0.9, p_slower=0.01)}
    assert verdicts(slow, chosen_from=2) == {"m": SLOWER}
    assert verdicts(slow, chosen_from=3) == {"m": NOT_SHOWN}
    assert verdicts({"m": judged(1.2, 1.5)}, chosen_from=9) == {"m": FASTER}


def test_two_seeds_or_lost_seeds_make_no_verdict():
    assert verdicts({"m": judged(1.2, 1.5)}) == {"m": FASTER}
    assert verdicts({"m": judged(1.2, 1.5, seeds=2)}) == {"m": NOT_SHOWN}
    assert verdicts({"m": judged(1.2, 1.5, whole=False)}) == {"m": NOT_SHOWN}


@pytest.mark.parametrize(
    ("values", "rejected"),
    [
        ({"a": 0.01, "b": 0.04, "c": 0.03}, ["a"]),  # Holm 1979: 0.01 <= 0.05/3, 0.03 > 0.05/2
        ({"a": 0.01, "b": 0.02, "c": 0.04}, ["a", "b", "c"]),
        ({"a": 0.02, "b": 0.5, "c": 0.001}, ["c", "a"]),
        ({"a": 0.051}, []),
        ({}, []),
    ],
)
def test_holm_by_hand(values, rejected):
    assert holm(values, 0.05) == rejected


def test_more_methods_need_more_evidence():
    alone, other = judged(1.1, 2.0, p_faster=0.02), judged(0.5, 2.0, p_faster=0.6)
    assert verdicts({"m": alone}) == {"m": FASTER}
    assert verdicts({"m": alone, "n": other}) == {"m": NOT_SHOWN, "n": NOT_SHOWN}


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
    times = np.array([10.0, 20.0, 30.0, 40.0])
    assert times_to_target(times, np.array([losses]), np.array([target]))[0] == pytest.approx(time)


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


@pytest.mark.parametrize(
    ("method", "steps", "gradients", "wall"),
    [
        (curve(CURVE), "1.00", "1.00", "1.00"),
        # the target 1.0 is met at step 20 instead of 40; at two gradients a step nothing is won
        (curve([2.0, 1.0, 0.5, 0.4], gradients=2, rate=50), "2.00", "1.00", "1.00"),
        (curve([4.0, 1.5, 0.5, 0.4]), "1.60", "1.60", "1.60"),  # met at step 25
        (curve([4.0, 3.0, 2.0, 1.1], gradients=2), "≤1.00", "≤0.50", "≤1.00"),  # never met
    ],
)
def test_time_to_target_ratios_by_hand(method, steps, gradients, wall):
    for clock, expected in (("step", steps), ("gradient_evaluations", gradients), ("wall", wall)):
        assert str(best_run_ratio(curve(CURVE), method, clock)) == expected
        several = time_to_target_ratio([curve(CURVE)] * 3, [method] * 3, clock, np.random.default_rng(0))
        assert str(several) == f"{expected} [{expected}, {expected}]"


@pytest.mark.parametrize("truth", [1.0, 1.1, 1.5, 2.0, 5.0])
def test_a_learning_curve_of_known_speed_gives_its_time_to_target_back(truth):
    draws = np.random.default_rng(1)
    steps = np.arange(10, 401, 10)

    def run(speed, noise):
        return curve(1 + 3 * np.exp(-steps * speed / 100) + noise)

    found = []
    for _ in range(20):
        noise = draws.normal(0, 0.01, 5)
        found.append(
            time_to_target_ratio([run(1, n) for n in noise], [run(truth, n) for n in noise], "step", draws)
        )
    assert np.mean([s.ratio.value for s in found]) == pytest.approx(truth, rel=0.05)
    assert np.mean([s.low.value <= truth * 1.02 and s.high.value >= truth * 0.98 for s in found]) >= 0.9
