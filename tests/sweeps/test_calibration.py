"""Whether the statistics keep their word: a method against itself, known speed-ups, many methods at a time."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

_path = Path(__file__).parents[2] / "benchmarks" / "calibration.py"
_spec = importlib.util.spec_from_file_location("calibration", _path)
calibration = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(calibration)

FEW_AND_MANY = [
    pytest.param(3, marks=pytest.mark.slow),
    5,
    pytest.param(10, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("seeds", FEW_AND_MANY)
def test_a_method_against_itself_is_covered_as_often_as_claimed_and_hardly_ever_called_faster(seeds):
    found = list(calibration.itself(seeds, 400, np.random.default_rng(0)))
    outcome = calibration.outcome(1.0, found)
    assert 0.93 <= outcome.coverage <= 0.97
    assert outcome.called_faster <= 0.025
    assert outcome.mean == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize(("truth", "factors"), calibration.TRUTHS)
@pytest.mark.parametrize("seeds", FEW_AND_MANY)
def test_a_known_speed_up_comes_back_with_an_interval_that_covers_it(truth, factors, seeds):
    found = list(calibration.synthetic(truth, factors, seeds, 100, np.random.default_rng(7)))
    outcome = calibration.outcome(truth, found)
    assert outcome.coverage >= 0.89  # the standard error of 100 at 95 % is 2.2 %
    if truth <= factors[-1]:
        assert outcome.mean == pytest.approx(truth, rel=0.05)
    else:
        assert outcome.censored == 1.0
        assert outcome.mean == factors[-1]
    if truth == 1.0:
        assert outcome.called_faster <= 0.025


@pytest.mark.parametrize("seeds", FEW_AND_MANY[:2])
def test_times_that_vary_do_not_make_a_method_at_the_margin_faster(seeds):
    found = list(calibration.timed(calibration.MARGIN, 0.1, seeds, 400, np.random.default_rng(0)))
    outcome = calibration.outcome(calibration.MARGIN, found)
    assert outcome.coverage >= 0.93
    assert outcome.called_faster <= 0.04  # the standard error of 400 at 2.5 % is 0.8 %
    assert outcome.mean == pytest.approx(calibration.MARGIN, rel=0.05)


@pytest.mark.slow
def test_methods_that_equal_the_best_of_several_baselines_are_hardly_ever_called_slower():
    assert calibration.called_slower(3, 3, 5, 200, np.random.default_rng(0)) <= 0.04


@pytest.mark.slow
def test_of_five_equal_methods_hardly_ever_any_is_called_faster():
    assert calibration.family(5, 5, 100, np.random.default_rng(0)) <= 0.025
