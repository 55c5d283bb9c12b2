"""The fairness contract clause by clause, winners at an edge, and what tuning bought: small cases by hand."""

import dataclasses

import numpy as np
import pytest
from scipy import stats
from simulated import make_plan, simulate
from small_space import space_with

from ire.sweeps.findings.contract import broken_before, clauses
from ire.sweeps.findings.statistics.tuning_gain import (
    best_so_far,
    counts,
    effort,
    expected_best,
    expected_best_interval,
    trial_costs,
)
from ire.sweeps.plan.plan import RULES
from ire.sweeps.records.records import TIMING
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.range_ends import edges
from search_spaces import find_space
from search_spaces.space import parse_space

PLAN = {"methods": ("sgd", "sgd-ire"), "trials": 4, "confirm_seeds": 2}


def judged(protocol):
    plan, trials = protocol.plan, protocol.records.trials.values()
    studies = [  # anew: tests change the trials
        {method: Ledger(plan.study(number), method, trials) for method in plan.methods}
        for number in range(plan.studies)
    ]
    return {clause.name: clause for clause in clauses(plan, studies)}


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


def test_a_clause_is_kept_if_it_is_kept_in_every_study(tmp_path):
    protocol = simulate(make_plan(**PLAN, studies=2), tmp_path)
    assert judged(protocol)["evaluation"].kept is True
    for run in protocol.studies[1].arms["sgd"].confirm:
        run.reports.pop(0)
    found = judged(protocol)["evaluation"]
    assert found.kept is False
    assert "study 2: confirmed runs differ in horizon, precision or evaluations" in found.text


def test_hardware_is_that_of_the_quiet_pass_where_there_is_one(tmp_path):
    protocol = simulate(make_plan(**PLAN, rules=RULES), tmp_path)
    turns = [run for run in protocol.records.trials.values() if run.stage == TIMING]
    for run in protocol.arms["sgd"].confirm:
        run.reports[-1].update(hardware="elsewhere")
    for run in turns:
        run.reports[-1].update(hardware="here")
    assert judged(protocol)["hardware"].text == "all runs were timed on here"
    turns[0].reports[-1].update(hardware="there")
    assert judged(protocol)["hardware"].kept is False


def test_a_method_that_spent_far_more_than_the_baseline_had_another_budget(tmp_path):
    protocol = simulate(make_plan(**PLAN), tmp_path)
    for trial in protocol.arms["sgd-ire"].search:
        trial.reports[-1]["gradient_evaluations"] *= 3
    found = judged(protocol)["budget"]
    assert found.kept is False
    assert "sgd-ire spent more than 1.33 times as much as sgd" in found.text


def test_lost_seeds_are_counted_and_unequal_ones_break_their_clause(tmp_path):
    first = simulate(make_plan(**PLAN), tmp_path)
    lost = first.arms["sgd-ire"].confirm[1].name
    for name in ("trials.jsonl", "results.jsonl"):
        (tmp_path / name).unlink()
    second = simulate(make_plan(**PLAN), tmp_path, fails=(lost,))
    clause = judged(second)["seeds"]
    assert clause.kept is True  # the verdict on sgd-ire alone is withheld
    assert "sgd-ire 1" in clause.text
    run = second.arms["sgd-ire"].confirm[0]
    run.spec = dataclasses.replace(run.spec, seed=run.spec.seed + 1)
    assert judged(second)["seeds"].kept is False


def test_unequal_ranges_are_known_before_anything_runs():
    text = (
        find_space("digits").text
        + "\n[methods.sgd-ire]\nmomentum = { linear = [0.5, 0.99], published = 0.9 }\n"
    )
    plan = make_plan(space=parse_space(text, task="digits", source="mine.toml"))
    (clause,) = broken_before(plan)
    assert "momentum of sgd-ire (linear [0.5, 0.99]) and of sgd (fixed 0.9)" in clause.text
    text = (
        find_space("digits").text + "\n[methods.sam-sgd-ire]\nrho = { log = [1e-3, 5.0], published = 0.05 }\n"
    )
    space = parse_space(text, task="digits", source="mine.toml")
    (clause,) = broken_before(make_plan(space=space, methods=("sam-sgd", "sam-sgd-ire")))
    assert "rho of sam-sgd-ire (log [0.001, 5]) and of sam-sgd" in clause.text
    assert not broken_before(make_plan(space=space, methods=("sgd", "sam-sgd-ire"))), (
        "no sam-sgd to differ from"
    )
    assert not broken_before(make_plan())


@pytest.mark.parametrize("task", ["cifar10-resnet18", "cifar100-resnet18", "cifar10-vgg11", "cifar10-vgg16"])
def test_a_range_that_starts_elsewhere_is_the_same_range(task):
    space = find_space(task)
    assert not broken_before(make_plan(space=space, methods=space.methods))


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


@pytest.mark.parametrize(("lr", "at_edge"), [(0.1, True), (0.2, False), (0.4, True)])
def test_the_ends_of_a_grid_are_edges(lr, at_edge):
    grid = {"sgd": {"lr": {"choice": [0.1, 0.2, 0.4], "published": 0.1}}}
    plan = make_plan(space=space_with(grid, source="mine.toml"))
    whole = {"lr": lr, "weight_decay": 1e-3, "warmup_fraction": 0.1, "momentum": 0.9}
    assert [edge.setting for edge in edges(plan, "sgd", whole)] == ["lr"] * at_edge


def test_the_expected_best_by_hand():
    # of 1, 2, 3: each alone; of the pairs two have a 1, one a 2; all three
    assert expected_best(np.array([3.0, 1.0, 2.0])) == pytest.approx([2.0, 4 / 3, 1.0])
    low, high = expected_best_interval(np.array([3.0, 1.0, 2.0]), np.random.default_rng(0))
    assert (low <= np.array([2.0, 4 / 3, 1.0]) + 1e-9).all()
    assert (high >= np.array([2.0, 4 / 3, 1.0]) - 1e-9).all()
    assert expected_best(np.arange(1000.0))[-1] == pytest.approx(0.0, abs=1e-6)
    assert counts(5).tolist() == [1, 2, 3, 4, 5]
    assert counts(10_000)[-1] == 10_000
    assert len(counts(10_000)) <= 64


def test_pruned_trials_stand_for_their_last_loss_and_lost_ones_for_the_worst(tmp_path):
    arm = simulate(make_plan(methods=("sgd",), trials=8), tmp_path, fails=("sgd-0003",)).arms["sgd"]
    losses = trial_costs(arm.search)
    by_status = {t.status: losses[t.number] for t in arm.search}
    assert losses[3] == by_status["failed"] == losses.max()
    for t in arm.search:
        if t.status in ("finished", "pruned"):
            assert losses[t.number] == t.val_loss
    at, best = best_so_far(arm.search)
    assert best == sorted(best, reverse=True)
    assert at[-1] <= arm.spent
    unfinished = [dataclasses.replace(t, status="pruned") for t in arm.search]
    assert not len(trial_costs(unfinished))


def test_how_easily_a_method_is_tuned_has_an_interval_over_studies():
    mean, low, high = effort([2, 4, 8], np.random.default_rng(0))
    logs = np.log([2, 4, 8])
    half = stats.t.ppf(0.975, 2) * logs.std(ddof=1) / np.sqrt(3)
    assert mean == pytest.approx(4.0)
    assert [low, high] == pytest.approx([4 * np.exp(-half), 4 * np.exp(half)], rel=0.05)
