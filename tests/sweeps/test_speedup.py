"""The definitions as literal tables: small curves with the answer worked out beside them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ire.sweeps.findings.statistics.draws import (
    RESAMPLES,
    interval,
    median_draws,
    median_log_ratios,
    paired_draws,
    unpaired_draws,
)
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN, WITHIN, decreasing, equal_horizon
from ire.sweeps.findings.statistics.speedup import speed_ups
from ire.sweeps.findings.statistics.target import best_run_ratio, time_to_target_ratio, times_to_target
from ire.sweeps.findings.statistics.verdict import (
    FASTER,
    MARGIN,
    NOT_SHOWN,
    SLOWER,
    TAIL,
    Ratio,
    SpeedUp,
    holm,
    judge,
    speed_up_from_draws,
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
        (
            [2.0, 3.0, 3.5, 4.0],
            0.5,
            4.0,
            UNKNOWN,
        ),  # overfitting: the baseline ends lower after half the steps
        ([2.5, 3.0, 3.0, 3.0], 0.5, 4.0, UNKNOWN),  # or as low
        ([2.0, 3.0, 3.5, 4.0], 1.1, 4.0, ABOVE),  # lower than the baseline after any number of steps
        ([2.0, 3.0, 3.5, 4.0], -0.5, 0.5, BELOW),
    ],
)
def test_the_equal_horizon_by_hand(losses, gain, horizon, censored):
    values, bounds = equal_horizon(FACTORS, np.array([losses]), np.array([gain]))
    assert (values[0], bounds[0]) == (pytest.approx(horizon, rel=1e-3), censored)


def losses(method, *, baseline=CURVE[1], seeds=3, seed_effect=0.01):
    """A row a unit: the method's final loss, the baseline's, and the curve's; a unit shifts its whole row."""
    return np.array([[method, baseline, *CURVE]] * seeds) + seed_effect * np.arange(seeds)[:, None]


def costs(units=3, *, gradients=1.0, seconds=1.0):
    """What a step of the baseline costs over one of the method, which costs so many times the baseline's."""
    wanted = {"step": 1.0, "gradient_evaluations": gradients, "wall": seconds}
    return {clock: np.full(units, -math.log(cost)) for clock, cost in wanted.items()}


def found_on(matrix, **cost):
    return speed_ups(matrix, FACTORS, costs(len(matrix), **cost), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("method", "cost", "steps", "gradients", "wall"),
    [
        (3.0, {}, 1.0, 1.0, 1.0),
        (2.0, {}, 2.0, 2.0, 2.0),
        (2.0, {"gradients": 2.0, "seconds": 2.0}, 2.0, 1.0, 1.0),  # SAM: nothing is won
        (2.0, {"gradients": 1.1, "seconds": 1.25}, 2.0, 2 / 1.1, 1.6),
        (4.0, {"seconds": 0.5}, 0.5, 0.5, 1.0),
    ],
)
def test_speed_up_by_hand_on_three_clocks(method, cost, steps, gradients, wall):
    found, draws = found_on(losses(method), **cost)
    expected = {"step": steps, "gradient_evaluations": gradients, "wall": wall}
    assert {clock: s.ratio.value for clock, s in found.items()} == pytest.approx(expected)
    assert all(s.units == 3 and s.ratio.censored == WITHIN for s in found.values())
    # runs that differ by the same in every pair leave no doubt
    assert found["step"].low.value == pytest.approx(steps)
    assert found["step"].high.value == pytest.approx(steps)
    assert set(draws) == set(found)


def test_a_baseline_without_a_curve_is_read_on_that_of_another_like_the_method():
    """The baseline ends where the curve is at 2 T, the method where it is at 4 T: twice as fast."""
    found, _ = found_on(losses(1.0, baseline=2.0))
    assert found["step"].ratio.value == pytest.approx(2.0)
    assert str(found_on(losses(2.0, baseline=0.5))[0]["step"]) == "≤0.50 [≤0.50, ≤0.50]"


def test_bounds_keep_their_side_on_every_clock():
    found, _ = found_on(losses(0.0), gradients=2.0)
    assert str(found["step"]) == "≥4.00 [≥4.00, ≥4.00]"
    assert str(found["gradient_evaluations"]) == "≥2.00 [≥2.00, ≥2.00]"


def test_what_a_step_costs_varies_from_study_to_study_and_widens_the_interval():
    wall = np.log([0.5, 1.0, 2.0])
    found, _ = speed_ups(losses(2.0), FACTORS, {"wall": wall}, np.random.default_rng(0))
    half = 4.303 * np.log(2.0) / math.sqrt(3)  # Student's t, 2 degrees of freedom
    assert found["wall"].ratio.value == pytest.approx(2.0)
    assert found["wall"].high.value == pytest.approx(2.0 * math.exp(half), rel=0.1)


@pytest.mark.filterwarnings("error")
def test_times_of_two_studies_that_lie_far_apart_do_not_overflow():
    wall = {"wall": np.log([1e-3, 1e3])}
    found, draws = speed_ups(losses(2.0)[:2], FACTORS, wall, np.random.default_rng(0))
    assert np.isfinite(np.log(draws["wall"][:, 0])).all()
    assert found["wall"].ratio.value == pytest.approx(2.0)


def test_draws_of_a_cost_are_taken_as_they_are():
    """Within one study a step's time is known from several turns: a value and draws of it."""
    drawn = np.log(np.append(2.0, np.where(np.arange(RESAMPLES) % 10, 2.0, 0.1)))
    found, draws = speed_ups(losses(3.0), FACTORS, {"wall": drawn}, np.random.default_rng(0))
    assert found["wall"].ratio.value == pytest.approx(2.0)
    assert draws["wall"][:, 0] == pytest.approx(np.exp(drawn[1:]))
    assert found["wall"].low.value == pytest.approx(0.1)


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


@pytest.mark.filterwarnings("error")
def test_a_ratio_too_small_for_a_float_has_the_logarithm_minus_infinity_without_a_warning():
    one, other = np.array([1e-4, 1.0, 1e4]) ** 2, np.array([1.0, 1.1, 0.9])
    found = median_log_ratios(one, other, np.random.default_rng(0))
    assert found[0] == pytest.approx(math.log(1.0))
    assert np.isneginf(found).any()
    assert not np.isnan(found).any()


def test_a_median_of_many_is_resampled_and_of_few_drawn_like_a_mean():
    many, few = np.array([1.0, 2.0, 3.0, 4.0, 90.0]), np.array([1.0, 2.0, 6.0])
    assert set(median_draws(many, np.random.default_rng(0))) <= set(many)
    half = (
        4.303 * few.std(ddof=1) / math.sqrt(3) * math.sqrt(math.pi / 2)
    )  # Student's t, 2 degrees of freedom
    found = interval(median_draws(few, np.random.default_rng(0), 200_000))
    assert found == pytest.approx((2.0 - half, 2.0 + half), abs=0.03 * half)
    assert set(median_draws(few[:1], np.random.default_rng(0))) == {1.0}


def verdict_of(over):
    """The verdict on a method alone, from its speed-ups by baseline."""
    return judge({"m": over})["m"].verdict


def judged(low, high, *, p_faster=0.001, p_slower=0.5, units=5, whole=True, value=1.0):
    return SpeedUp(
        ratio=Ratio(value=value),
        low=Ratio(value=low),
        high=Ratio(value=high),
        units=units,
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
    found = speed_up_from_draws(1.0, WITHIN, np.array(draws), np.array(censored), units=5)
    assert verdict_of({"b": found}) == verdict


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
    found = speed_up_from_draws(1.0, WITHIN, np.array(draws), np.array(censored), units=5)
    assert f"[{found.low}, {found.high}]" == told


def test_faster_is_faster_than_every_baseline_at_the_full_level_each():
    sure, unsure = judged(1.2, 1.5, p_faster=0.024), judged(1.0, 1.5, p_faster=0.026)
    assert verdict_of({"a": sure}) == verdict_of({"a": sure, "b": sure, "c": sure}) == FASTER
    assert judge({"m": {"a": sure, "b": unsure}})["m"].against == "b"
    assert verdict_of({"a": sure, "b": unsure}) == NOT_SHOWN


def test_one_of_several_baselines_must_be_faster_by_all_of_them():
    """Slower than some of two, of three: the smallest p value counts times their number."""
    slow, even = judged(0.7, 0.95, p_faster=0.9, p_slower=0.01), judged(0.9, 1.2, p_faster=0.8)
    assert verdict_of({"a": slow}) == SLOWER
    assert judge({"m": {"a": even, "b": slow}})["m"].against == "b"
    assert verdict_of({"a": even, "b": slow}) == SLOWER
    assert verdict_of({"a": even, "b": slow, "c": even}) == NOT_SHOWN


def test_what_is_as_fast_as_a_cheap_baseline_is_not_faster_for_an_expensive_one_that_ends_lower():
    """SAM ends 1 % lower at twice the cost, a clone of AdamW like AdamW: per gradient it beats SAM and not AdamW."""
    of_h = 0.02 + 0.08 * FACTORS**-0.8
    noise = 1 + 0.003 * np.random.default_rng(1).standard_normal((2, 5))
    clone, adamw = of_h[1] * noise
    curve = [of_h] * 5
    over = {
        "sam": np.column_stack([clone, np.full(5, 0.99 * of_h[1]), curve]),
        "adamw": np.column_stack([clone, adamw, curve]),
    }
    cost = {"sam": math.log(2.0), "adamw": 0.0}
    found = {
        name: speed_ups(
            matrix, FACTORS, {"gradient_evaluations": np.full(5, cost[name])}, np.random.default_rng(0)
        )[0]["gradient_evaluations"]
        for name, matrix in over.items()
    }
    assert verdict_of({"sam": found["sam"]}) == FASTER
    judgement = judge({"clone": found})["clone"]
    assert (judgement.verdict, judgement.against) == (NOT_SHOWN, "adamw")


def test_lost_runs_make_no_verdict():
    whole, lost = judged(1.2, 1.5), judged(1.2, 1.5, whole=False)
    assert verdict_of({"a": whole}) == FASTER
    assert judge({"m": {"a": lost}}) == judge({"m": {}}) == {}


def test_a_baseline_that_lost_runs_must_be_beaten_and_beats_nobody():
    sure, unsure = judged(1.2, 1.5, p_faster=0.01), judged(0.9, 1.5, p_faster=0.5, whole=False)
    slow = judged(0.5, 0.8, p_faster=0.9, p_slower=0.001)
    assert verdict_of({"a": sure, "b": replace(sure, whole=False)}) == FASTER
    found = judge({"m": {"a": sure, "b": unsure}})["m"]
    assert (found.verdict, found.against) == (NOT_SHOWN, "b")
    assert verdict_of({"a": sure, "b": slow}) == SLOWER
    assert verdict_of({"a": sure, "b": replace(slow, whole=False)}) == NOT_SHOWN


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
    found, levels = holm(values, 0.05)
    assert found == set(rejected)
    assert all((value <= levels[name]) == (name in found) for name, value in values.items())


def test_the_order_of_names_does_not_matter_to_holm():
    values = {"a": 0.001, "b": 0.01, "c": 0.01, "d": 0.2}
    found, levels = holm(values, 0.05)
    assert (found, levels["b"], levels["c"]) == ({"a", "b", "c"}, 0.05 / 3, 0.05 / 3)
    assert holm(dict(reversed(values.items())), 0.05) == (found, levels)


def test_more_methods_need_more_evidence():
    alone, other = judged(1.1, 2.0, p_faster=0.02), judged(0.5, 2.0, p_faster=0.6)
    assert verdict_of({"b": alone}) == FASTER
    found = judge({"m": {"b": alone}, "n": {"b": other}})
    assert {name: judgement.verdict for name, judgement in found.items()} == {"m": NOT_SHOWN, "n": NOT_SHOWN}
    assert found["m"].tails[0] == TAIL / 2, "and the interval is as much wider"


@pytest.mark.parametrize("seed", range(12))
def test_intervals_at_the_levels_of_the_verdict_agree_with_it(seed):
    """Methods against baselines, with draws near what decides: an interval is above the margin if it is faster."""
    random = np.random.default_rng(seed)
    methods, baselines, count = random.integers(1, 6), random.integers(1, 4), 2000
    draws = {
        str(m): {
            str(b): np.exp(0.05 * random.uniform(-4, 6) + 0.05 * random.standard_normal(count))
            for b in range(baselines)
        }
        for m in range(methods)
    }
    within = np.full(count, WITHIN)
    found = judge(
        {
            m: {b: speed_up_from_draws(np.median(d), WITHIN, d, within, units=5) for b, d in over.items()}
            for m, over in draws.items()
        }
    )
    for m, judgement in found.items():
        deciding = draws[m][judgement.against]
        shown = speed_up_from_draws(1.0, WITHIN, deciding, within, units=5, tails=judgement.tails)
        assert (shown.low.value > MARGIN) == (judgement.verdict == FASTER)
        assert (shown.high.value < 1) == (judgement.verdict == SLOWER)


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


@pytest.mark.filterwarnings("error")
def test_times_of_two_seeds_that_lie_far_apart_do_not_overflow_a_time_to_target():
    seeds = [curve(CURVE, rate=rate) for rate in (1e9, 1e-9)]
    found = time_to_target_ratio(seeds, seeds, "wall", np.random.default_rng(0))
    assert found.ratio.value == pytest.approx(1.0)


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


def test_unpaired_draws_of_two_means_are_unrelated_and_those_of_equal_columns_are_one():
    together = np.random.default_rng(0).normal(size=(6, 1)) + np.zeros((6, 2))
    values = np.column_stack([together, together[:, 0] + 1e-3])
    paired = paired_draws(values, np.random.default_rng(1))
    draws = unpaired_draws(values, np.random.default_rng(1))
    assert np.ptp(paired[:, 0] - paired[:, 2]) < 1e-9
    assert np.array_equal(draws[:, 0], draws[:, 1])
    assert abs(np.corrcoef(draws[:, 0], draws[:, 2])[0, 1]) < 0.05
    width = values[:, 0].std(ddof=1) / np.sqrt(6)
    assert np.median(np.abs(draws[:, 2] - draws[:, 2].mean())) == pytest.approx(0.727 * width, rel=0.05)
