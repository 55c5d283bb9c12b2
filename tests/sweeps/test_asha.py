import pytest

from ire.sweeps.search.asha import Rungs


@pytest.mark.parametrize(
    ("eta", "arrivals", "decisions"),
    [
        # the first always goes on; then one in eta of all so far
        (2, [3.0, 2.0, 1.0, 4.0], [True, True, True, False]),
        (2, [1.0, 2.0, 1.5, 1.2], [True, False, False, True]),  # of four, two pass: 1.0 and 1.2
        (3, [1.0, 2.0, 3.0, 0.5, 0.7, 0.6], [True, False, False, True, False, True]),
        (4, [1.0, 1.0], [True, True]),  # equal to the best is best
    ],
)
def test_decisions_by_hand(eta, arrivals, decisions):
    rungs = Rungs([10], eta)
    assert [rungs.goes_on(str(i), 10, value) for i, value in enumerate(arrivals)] == decisions


def test_a_step_that_is_no_rung_decides_nothing():
    rungs = Rungs([10, 20], 2)
    assert rungs.goes_on("a", 10, 1.0)
    assert all(rungs.goes_on("b", step, 9.0) for step in (5, 15, 25))
    assert not rungs.goes_on("b", 10, 9.0)


def test_a_trial_that_is_found_diverged_at_a_rung_counts_there():
    rungs = Rungs([10, 20], 2)
    assert rungs.goes_on("a", 10, 1.0)
    rungs.diverged("b", 10)
    rungs.diverged("c", 10)
    assert rungs.goes_on("d", 10, 1.5)  # two of four pass
    assert rungs.goes_on("a", 20, 1.0)
    assert not rungs.goes_on("d", 20, 1.5)  # one of two: none is there that never came


def test_a_diverged_trial_counts_as_the_worst_of_its_next_rung():
    with_diverged, without = Rungs([10, 20], 2), Rungs([10, 20], 2)
    for rungs in (with_diverged, without):
        rungs.goes_on("a", 10, 1.0)
        rungs.goes_on("b", 10, 2.0)
    with_diverged.diverged("c", 4)
    assert with_diverged.goes_on("d", 10, 1.5)  # two of four pass
    assert not without.goes_on("d", 10, 1.5)  # one of three


def test_methods_never_prune_each_other():
    one, other = Rungs([10], 2), Rungs([10], 2)
    one.goes_on("a", 10, 0.1)
    assert other.goes_on("b", 10, 100.0)
