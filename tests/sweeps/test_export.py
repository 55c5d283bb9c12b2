"""Tidy tables, and several sweeps together, from simulated records."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from simulated import make_plan, reports_of, simulate
from small_space import space_with
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput
from ire.sweeps.command.app import app
from ire.sweeps.experiments.experiment import open_experiment
from ire.sweeps.findings.pooling import PooledSweeps, profile
from ire.sweeps.findings.statistics.draws import RESAMPLES, paired_draws
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, WITHIN
from ire.sweeps.findings.statistics.verdict import Ratio, speed_up_from_draws
from ire.sweeps.findings.yardstick import Against
from ire.sweeps.plan.plan import RULES

PLAN = {"methods": ("sgd", "sgd-ire"), "trials": 3, "confirm_seeds": 3, "curve": (0.5, 2.0)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two studies of one task, and two more tasks by name."""
    found = []
    for task, seed in (("digits", 0), ("digits", 1), ("other", 0), ("third", 2)):
        folder = tmp_path_factory.mktemp(f"{task}-{seed}")
        plan = make_plan(task=task, seed=seed, name=f"{task}-{seed}", **PLAN)
        (folder / "sweep.toml").write_text(plan.to_toml())
        simulate(plan, folder)
        found.append(folder)
    return found


def test_csv_and_parquet_hold_every_trial_and_report(folders, tmp_path):
    done = CliRunner().invoke(app, ["export", str(folders[0]), "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    trials = open_experiment(folders[0]).records.trials.values()
    for read, kind in ((pd.read_csv, "csv"), (pd.read_parquet, "parquet")):
        table = read(tmp_path / "out" / f"trials.{kind}")
        assert set(table.trial) == {t.name for t in trials}
        assert {"arm", "stage", "variant", "settings.lr", "val_loss", "status", "horizon"} <= set(
            table.columns
        )
        curves = read(tmp_path / "out" / f"curves.{kind}")
        assert len(curves) == sum(len(t.reports) for t in trials)
        assert {"trial", "method", "arm", "stage", "step", "val_loss"} <= set(curves.columns)


def test_a_metric_whose_name_is_a_formula_is_a_text_in_the_csv_file(tmp_path):
    plan = make_plan(methods=("sgd",), trials=2, confirm_seeds=0, curve=())
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    simulate(plan, tmp_path)
    results = tmp_path / "results.jsonl"
    results.write_text(results.read_text().replace('"train_loss"', '"=1+1\\u001b"'))
    assert CliRunner().invoke(app, ["export", str(tmp_path)]).exit_code == 0
    head = (tmp_path / "export" / "curves.csv").read_text().partition("\n")[0]
    assert "'=1+1\\x1b" in head.split(",")


@pytest.mark.figures
def test_several_sweeps_have_a_geometric_mean_and_profiles(folders, tmp_path):
    done = CliRunner().invoke(app, ["report", *map(str, folders), "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "report.json").read_text())
    assert [sweep["task"] for sweep in told["sweeps"]] == ["digits", "digits", "other", "third"]
    assert set(told["methods"]) == {"sgd", "sgd-ire"}
    several = PooledSweeps([open_experiment(folder) for folder in folders])
    of_tasks = [
        PooledSweeps(same).pooled("sgd-ire", "step")[1].ratio.value for same in several.tasks.values()
    ]
    expected = np.exp(np.mean(np.log(of_tasks)))
    assert several.pooled("sgd-ire", "step")[1].ratio.value == pytest.approx(expected)
    assert (tmp_path / "profiles.svg").exists()
    assert "Performance profiles" in (tmp_path / "report.html").read_text()
    assert {len(found) for found in told["profile_ratios"].values()} == {3}


def sweep_with(task, *, seed=0, studies=5, baselines=("b",), **over_b):
    """An experiment of which only speed-ups over method `b` are known, by method: a ratio, or draws of one."""
    rows = {"b": row_of("b", {}, baselines)}
    for method, found in over_b.items():
        draws = (
            np.tile([found.value, found.censored], (RESAMPLES, 1))
            if isinstance(found, Ratio)
            else np.column_stack([found, np.full(len(found), WITHIN)])
        )
        value, censored = (
            (found.value, found.censored) if isinstance(found, Ratio) else (np.median(found), WITHIN)
        )
        rows[method] = row_of(method, {"b": (value, censored, draws)}, baselines)
    comparison = SimpleNamespace(
        baseline="b",
        row=rows.get,
        is_comparable=True,
        shares_trials=False,
        studies=studies,
        clock="step",
    )
    return SimpleNamespace(
        plan=SimpleNamespace(task=task, methods=tuple(rows), seed=seed, looks=1), comparison=comparison
    )


def row_of(method, over, baselines):
    speed_ups = {
        name: speed_up_from_draws(value, censored, draws[:, 0], draws[:, 1], units=5)
        for name, (value, censored, draws) in over.items()
    }
    return SimpleNamespace(
        method=method,
        is_baseline=method in baselines,
        is_finished=True,
        over=Against(
            speed_ups={"step": speed_ups}, draws={"step": {name: found[2] for name, found in over.items()}}
        ),
    )


@pytest.mark.parametrize(
    ("ratios", "told", "verdict"),
    [
        ([(2.0, ABOVE), (2.0, ABOVE)], "≥2.00 [≥2.00, ≥2.00]", "faster"),
        ([(2.0, ABOVE), (2.0, ABOVE), (0.5, BELOW)], "?1.26 [?1.00, ?1.00]", "not shown"),
        ([(4.0, WITHIN), (0.5, BELOW)], "≤1.41 [≤1.41, ≤1.41]", "not shown"),
        ([(4.0, WITHIN), (1.0, WITHIN)], "2.00 [2.00, 2.00]", "faster"),
        ([(0.5, WITHIN), (0.5, WITHIN)], "0.50 [0.50, 0.50]", "slower"),
    ],
)
def test_bounds_of_both_kinds_bound_nothing_together(ratios, told, verdict):
    sweeps = [sweep_with(str(i), m=Ratio(value=v, censored=c)) for i, (v, c) in enumerate(ratios)]
    several = PooledSweeps(sweeps)
    against, pooled = several.pooled("m", "step")
    assert (against, str(pooled)) == ("b", told)
    assert several.verdicts("step") == {"m": verdict}


def ends_at(losses):
    """Reports of a sweep whose SGD ends 1 lower per doubling of the horizon, IRE at `losses` by study."""

    def reports(trial):
        *before, end = reports_of(trial)
        of_sgd = 3 - math.log2(trial.spec.horizon / SHORT) + 0.01 * trial.number
        ends = {"sgd": of_sgd, "sgd-ire": losses[trial.study] + 0.02 * trial.number}
        yield from before
        yield end | ({"test_loss": ends[trial.arm]} if trial.spec.test else {})

    return reports


SHORT = 48
ONE_ARM = {"horizon": SHORT, "search": {"rungs": []}}


def test_sweeps_of_one_task_are_judged_as_studies_of_one_sweep(tmp_path):
    """Their bounded speed-ups would have no spread at all."""
    losses = [1.9, -4.0, 1.8]
    plans = [make_plan(studies=3, rules=RULES, space=space_with(ONE_ARM), **PLAN)]
    plans += [make_plan(seed=seed, rules=RULES, space=space_with(ONE_ARM), **PLAN) for seed in (2, 0, 1)]
    found = []
    for plan in plans:
        own = losses if plan.studies == 3 else losses[plan.seed :]
        folder = tmp_path / str(len(found))
        folder.mkdir()
        (folder / "sweep.toml").write_text(plan.to_toml())
        simulate(plan, folder, reports=ends_at(own))
        found.append(open_experiment(folder))
    expected = found[0].comparison.row("sgd-ire").over.speed_ups["step"]["sgd"]
    several = PooledSweeps(found[1:])
    against, pooled = several.pooled("sgd-ire", "step")
    assert (against, pooled.units) == ("sgd", 3)
    assert str(pooled.ratio) == str(expected.ratio) == "≥2.00"
    assert pooled.p_faster == pytest.approx(expected.p_faster, abs=0.01)
    assert expected.p_faster > 0.1
    assert PooledSweeps(found[1:3]).verdicts("step") == {}, "two know too little"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_how_studies_are_numbered_does_not_matter_to_a_mean_over_tasks(order):
    """Equal seeds give equal variates, so that in one order the deviations of two tasks would cancel."""
    draws = []
    for deviations in (np.array([-0.1, 0.0, 0.1]), np.array([0.1, 0.0, -0.1])[list(order)]):
        draws.append(np.exp(0.3 + paired_draws(deviations[:, None], np.random.default_rng(0))[:, 0]))
    several = PooledSweeps([sweep_with(str(task), m=own) for task, own in enumerate(draws)])
    _, found = several.pooled("m", "step")
    alone = np.ptp(np.log(np.quantile(draws[0], [0.025, 0.975])))
    width = np.log(found.high.value / found.low.value)
    assert width / alone == pytest.approx(0.756, abs=0.03), "the mean of two independent t variates"


def test_a_task_on_which_a_method_is_the_best_baseline_adds_no_certainty():
    """Over `b` it is 1.65 on the first task and 1 on the second, known there no better than in its own comparison."""
    normal = np.random.default_rng(0).standard_normal((2, RESAMPLES))
    first, second = np.exp(0.5 + 0.15 * normal[0]), np.exp(0.4 * normal[1])
    alone = PooledSweeps([sweep_with("1", m=first, baselines=("b", "m"))])
    assert alone.verdicts("step") == {"m": "faster"}
    several = PooledSweeps(
        [
            *alone.experiments,
            sweep_with("2", m=second, baselines=("b", "m")),
        ]
    )
    several.experiments[1].comparison.baseline = "m"
    _, found = several.pooled("m", "step")
    half = 1.96 * np.hypot(0.15, 0.4) / 2
    assert [found.low.value, found.high.value] == pytest.approx(np.exp([0.25 - half, 0.25 + half]), rel=0.02)
    assert several.verdicts("step") == {"m": "not shown"}


def test_a_method_that_one_task_does_not_know_against_a_baseline_is_not_pooled_over_it():
    one, other = sweep_with("1", m=Ratio(value=2.0)), sweep_with("2", m=Ratio(value=2.0))
    other.comparison.row("m").over = Against()
    several = PooledSweeps([one, other])
    assert several.pooled("m", "step") is None
    assert several.verdicts("step") == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 0}, "have the same seed, 0"),
        ({"seed": 5, "precision": "bf16"}, "differ in precision ('fp32' and 'bf16')"),
        ({"seed": 5, "trials": 4}, "differ in trials (3 and 4)"),
    ],
)
def test_sweeps_of_one_task_that_are_no_studies_of_it_are_refused(folders, tmp_path, changes, words):
    plan = make_plan(task="digits", name="other", **PLAN | changes)
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    done = CliRunner().invoke(app, ["report", str(folders[0]), str(tmp_path)])
    assert isinstance(done.exception, InvalidInput)
    assert words in str(done.exception)


def test_below_three_tasks_there_is_no_profile(folders, tmp_path):
    CliRunner().invoke(app, ["report", *map(str, folders[:2]), "--output", str(tmp_path)])
    assert json.loads((tmp_path / "report.json").read_text())["profile_ratios"] == {}
    assert not (tmp_path / "profiles.svg").exists()


def test_a_profile_by_hand():
    shares = profile(np.array([1.0, 2.0, np.inf]), np.array([1.0, 1.9, 2.0, 100.0]))
    assert shares == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])


def test_sweeps_without_a_common_method_are_refused(folders, tmp_path):
    plan = make_plan(methods=("adamw",), trials=2)
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    done = CliRunner().invoke(app, ["report", str(folders[0]), str(tmp_path)])
    assert isinstance(done.exception, InvalidInput)
    assert "no method in common" in str(done.exception)
