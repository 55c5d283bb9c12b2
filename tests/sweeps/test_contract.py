"""The fairness contract clause by clause, winners at an edge, and what tuning bought: small cases by hand."""

import dataclasses

import numpy as np
import pytest
from simulated import make_plan, simulate

from search_spaces import find_space
from search_spaces.space import parse_space
from sweeps.boundary import edges
from sweeps.contract import broken_before, clauses
from sweeps.ledger import Ledger
from sweeps.statistics.tuning_gain import (
    best_so_far,
    counts,
    expected_best,
    expected_best_interval,
    trial_losses,
)

PLAN = {"methods": ("sgd", "sgd-ire"), "trials": 4, "confirm_seeds": 2}


def judged(protocol):
    plan, trials = protocol.plan, protocol.records.trials.values()
    ledgers = [Ledger(plan, method, trials) for method in plan.methods]  # anew: tests change the trials
    return {clause.name: clause for clause in clauses(plan, ledgers)}


def test_a_sweep_that_went_well_keeps_every_clause_that_can_be_judged(tmp_path):
    found = judged(simulate(make_plan(**PLAN), tmp_path))
    kept = {name: clause.kept for name, clause in found.items()}
    assert kept == {
        **dict.fromkeys(("trials", "budget", "ranges", "seeds", "evaluation"), True),
        "hardware": None,  # the simulator names none
    }
    assert found["trials"].text.startswith("each method may start 4 search trials; started: sgd ")


@pytest.mark.parametrize(
    ("change", "clause", "words"),
    [
        (lambda run: run.reports[-1].update(hardware=run.method), "hardware", "wall-clock is not comparable"),
        (
            lambda run: run.method == "sgd" and run.reports.pop(0),
            "evaluation",
            "differ in horizon, precision or evaluations",
        ),
    ],
)
def test_a_broken_clause_says_why(tmp_path, change, clause, words):
    protocol = simulate(make_plan(**PLAN), tmp_path)
    for arm in protocol.arms.values():
        for run in arm.confirm:
            change(run)
    found = judged(protocol)[clause]
    assert found.kept is False
    assert words in found.text


def test_a_method_that_spent_far_more_than_the_baseline_had_another_budget(tmp_path):
    protocol = simulate(make_plan(**PLAN), tmp_path)
    for trial in protocol.arms["sgd-ire"].search:
        trial.reports[-1]["gradient_evaluations"] *= 3
    found = judged(protocol)["budget"]
    assert found.kept is False
    assert "sgd-ire spent more than 1.33 times what sgd did" in found.text


def test_lost_seeds_break_the_clause_of_equal_seeds(tmp_path):
    first = simulate(make_plan(**PLAN), tmp_path)
    lost = first.arms["sgd-ire"].confirm[1].name
    for name in ("trials.jsonl", "results.jsonl"):
        (tmp_path / name).unlink()
    assert judged(simulate(make_plan(**PLAN), tmp_path, fails=(lost,)))["seeds"].kept is False


def test_unequal_ranges_are_known_before_anything_runs():
    text = (
        find_space("digits").text
        + "\n[methods.sgd-ire]\nmomentum = { linear = [0.5, 0.99], published = 0.9 }\n"
    )
    plan = make_plan(space=parse_space(text, task="digits", source="mine.toml"))
    (clause,) = broken_before(plan)
    assert "momentum of sgd-ire (linear [0.5, 0.99]) and of sgd (fixed 0.9)" in clause.text
    assert not broken_before(make_plan())


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"lr": 0.1}, []),
        ({"lr": 0.0101}, ["sgd: lr = 0.0101, searched down to 0.01"]),
        ({"lr": 0.95}, ["sgd: lr = 0.95, searched up to 1"]),
        ({"lr": 0.7}, []),  # 0.92 of the way on the log scale
        ({"lr": 0.1, "warmup_fraction": 0.012}, ["sgd: warmup_fraction = 0.012, searched down to 0.01"]),
    ],
)
def test_the_edge_is_five_percent_of_a_range_on_its_own_scale(settings, found):
    whole = {"lr": 0.1, "weight_decay": 1e-3, "warmup_fraction": 0.1, "momentum": 0.9} | settings
    assert [str(edge) for edge in edges(make_plan(), "sgd", whole)] == found


def test_the_expected_best_by_hand():
    # of 1, 2, 3: one draw 2; two draws 1 x 5/9 + 2 x 3/9 + 3 x 1/9; three draws 1 x 19/27 + 2 x 7/27 + 3 x 1/27
    assert expected_best(np.array([3.0, 1.0, 2.0])) == pytest.approx([2.0, 14 / 9, 36 / 27])
    low, high = expected_best_interval(np.array([3.0, 1.0, 2.0]), np.random.default_rng(0))
    assert (low <= [2.0, 14 / 9, 36 / 27]).all()
    assert (high >= [2.0, 14 / 9, 36 / 27]).all()
    assert counts(5).tolist() == [1, 2, 3, 4, 5]
    assert counts(10_000)[-1] == 10_000
    assert len(counts(10_000)) <= 64


def test_pruned_trials_stand_for_their_last_loss_and_lost_ones_for_the_worst(tmp_path):
    arm = simulate(make_plan(methods=("sgd",), trials=8), tmp_path, fails=("sgd-0003",)).arms["sgd"]
    losses = trial_losses(arm.search)
    by_status = {t.status: losses[t.number] for t in arm.search}
    assert losses[3] == by_status["failed"] == losses.max()
    for t in arm.search:
        if t.status in ("finished", "pruned"):
            assert losses[t.number] == t.val_loss
    at, best = best_so_far(arm.search)
    assert best == sorted(best, reverse=True)
    assert at[-1] <= arm.spent
    unfinished = [dataclasses.replace(t, status="pruned") for t in arm.search]
    assert not len(trial_losses(unfinished))
