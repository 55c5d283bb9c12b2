"""The report of complete, partial and failed sweeps, from simulated records."""

import contextlib
import json

import pytest
from simulated import Killed, make_plan, simulate

from sweeps.experiment import open_experiment


@pytest.fixture
def run(tmp_path):
    def run(**options):
        fields = options.pop("plan", {})
        plan = make_plan(**fields)
        (tmp_path / "sweep.toml").write_text(plan.to_toml())
        with contextlib.suppress(Killed):
            simulate(plan, tmp_path, **options)
        return open_experiment(tmp_path)

    return run


def test_a_complete_sweep_names_its_baseline_and_every_number_once(run):
    experiment = run()
    page = experiment.report()
    told = json.loads((page.parent / "report.json").read_text())
    assert told["complete"]
    assert told["baseline"] in ("sgd", "sam-sgd")
    by_name = {row["method"]: row for row in told["methods"]}
    assert not by_name[told["baseline"]]["speed_up"]
    assert set(by_name["sgd-ire"]["speed_up"]) == {"step", "gradient_evaluations", "wall"}
    for row in told["methods"]:
        assert row["gradient_evaluations"] <= told["budget_gradient_evaluations"]
        assert row["confirm_seeds"] == 2
        assert row["winner"].startswith(row["method"])
    text = page.read_text()
    assert "<svg" not in text
    assert "data:image/svg+xml;base64," in text
    assert "http" not in text.replace("http-equiv", "").split("<pre>")[0], "the page must open offline"
    markdown = (page.parent / "report.md").read_text()
    assert all(f"| {name}" in markdown for name in by_name)


def test_frames_hold_every_trial_and_report(run):
    experiment = run()
    records = experiment.records.trials.values()
    assert len(experiment.trials) == len(records)
    assert len(experiment.curves) == sum(len(t.reports) for t in records)
    assert set(experiment.winners["method"]) == {"sgd", "sgd-ire", "sam-sgd"}
    assert (experiment.winners["confirm_seeds"] == 2).all()
    assert {"settings.lr", "settings.kappa", "val_loss", "status"} <= set(experiment.trials.columns)


@pytest.mark.parametrize("events", [1, 2, 20, 200, 400])
def test_a_partial_sweep_says_what_is_missing(run, events):
    experiment = run(kill_after=events)
    assert not experiment.is_complete
    told = json.loads((experiment.report().parent / "report.json").read_text())
    assert not told["complete"]
    assert "incomplete" in (experiment.folder / "report" / "report.md").read_text()


def test_a_method_without_a_winner_is_shown_as_such(run):
    experiment = run(
        plan={"methods": ("sgd", "adamw"), "trials": 3}, fails=tuple(f"adamw-{i:04d}" for i in range(3))
    )
    assert experiment.is_complete
    row = next(r for r in experiment.comparison.rows if r.method == "adamw")
    assert row.statuses["failed"] == 3
    assert "none finished" in (experiment.report().parent / "report.md").read_text()


def test_no_baseline_is_said(run):
    experiment = run(plan={"methods": ("sgd-ire",)})
    assert "there is no baseline to compare with" in (experiment.report().parent / "report.md").read_text()


def test_reading_a_folder_never_unpickles(run):
    experiment = run()
    trials = experiment.folder / "trials"
    trials.mkdir()
    for name in ("tuner.pkl", "searcher-state.pkl"):  # a pickle that fails loudly if it is loaded
        (trials / name).write_bytes(b"cbuiltins\nexec\n(S'raise SystemExit(99)'\ntR.")
    open_experiment(experiment.folder).report()
