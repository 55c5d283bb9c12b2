"""What a comparison could have shown, beside a simulation of such comparisons."""

import numpy as np
import pytest
from scipy import stats

from ire.sweeps.findings.power import POWER, POWERLESS, power
from ire.sweeps.findings.statistics.draws import RESAMPLES
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, WITHIN
from ire.sweeps.findings.statistics.verdict import MARGIN, TAIL


def draws_of(error: float, studies: int, *, value=1.2, longest=np.inf) -> np.ndarray:
    """Draws of a speed-up whose logarithm has this standard error, on a curve from 1 / `longest` T to `longest` T."""
    draws = np.exp(np.log(value) + error * np.random.default_rng(0).standard_t(studies - 1, RESAMPLES))
    bounds = np.where(draws > longest, ABOVE, np.where(draws < 1 / longest, BELOW, WITHIN))
    return np.column_stack([np.clip(draws, 1 / longest, longest), bounds])


@pytest.mark.parametrize("value", [0.6, 1.0, 1.6, 1.95, 2.2])
def test_the_ends_of_a_curve_do_not_make_a_comparison_look_more_powerful(value):
    found = power(draws_of(0.3, 3, value=value, longest=2.0), studies=3)
    assert found.least_detectable == pytest.approx(
        power(draws_of(0.3, 3), studies=3).least_detectable, rel=0.03
    )


def test_bounds_alone_tell_no_power():
    assert power(draws_of(0.3, 3, value=4.0, longest=2.0), studies=3) == POWERLESS


@pytest.mark.parametrize(("studies", "tail"), [(3, TAIL), (5, TAIL), (5, TAIL / 4), (20, TAIL)])
def test_the_least_detectable_speed_up_is_found_in_four_of_five_sweeps(studies, tail):
    error = 0.05
    least = power(draws_of(error, studies), studies=studies, tail=tail).least_detectable
    logs = np.log(least) + error * np.sqrt(studies) * np.random.default_rng(1).standard_normal(
        (20_000, studies)
    )
    t = (logs.mean(axis=1) - np.log(MARGIN)) / (logs.std(axis=1, ddof=1) / np.sqrt(studies))
    assert np.mean(t > stats.t.ppf(1 - tail, studies - 1)) == pytest.approx(POWER, abs=0.02)


def test_so_many_studies_as_are_told_find_a_small_speed_up_and_one_fewer_does_not():
    needed = power(draws_of(0.1, 4), studies=4).studies_for_small
    enough, too_few = (
        power(draws_of(0.1 * np.sqrt(4 / n), n), studies=n).least_detectable for n in (needed, needed - 1)
    )
    assert enough - 0.003 <= 1.2 < too_few + 0.003, "but for what is drawn"


def test_one_study_finds_nothing():
    found = power(np.ones((10, 2)), studies=1)
    assert (found.least_detectable, found.studies_for_small) == (float("inf"), None)
