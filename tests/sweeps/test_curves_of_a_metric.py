"""A verdict on curves by a metric of which a higher value is better: it mirrors that on the losses."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from ire import verdict
from ire.invalid_input import InvalidInput
from ire.sweeps.command.app import app


def accuracies() -> pd.DataFrame:
    """Three seeds of each arm; the baseline at three horizons, so that speed-ups lie within its curve."""
    ends = [("baseline", 500, 0.80), ("baseline", 1000, 0.84), ("baseline", 2000, 0.88)]
    ends += [("mine", 1000, 0.88), ("worse", 1000, 0.80)]
    return pd.DataFrame(
        {
            "arm": arm,
            "run": f"{arm}-{seed}-{horizon}",
            "step": step,
            "val_accuracy": (end + 1e-4 * seed) * step / horizon,
            "val_error": 1 - (end + 1e-4 * seed) * step / horizon,
        }
        for arm, horizon, end in ends
        for seed in range(3)
        for step in (horizon // 2, horizon)
    )


@pytest.fixture
def curves(tmp_path):
    path = tmp_path / "curves.csv"
    accuracies().to_csv(path, index=False)
    return path


def test_a_higher_accuracy_is_as_much_faster_as_a_lower_error(curves):
    up = verdict(curves, metric="val_accuracy", mode="max").comparison
    down = verdict(curves, metric="val_error", mode="min").comparison
    verdicts = {}
    for mine, theirs in zip(up.challengers, down.challengers, strict=True):
        found, expected = (arm.speed_up("step").ratio for arm in (mine, theirs))
        assert (found.value, found.censored) == (pytest.approx(expected.value, rel=1e-6), expected.censored)
        assert mine.judgements["step"].verdict == theirs.judgements["step"].verdict
        verdicts[mine.name] = mine.judgements["step"].verdict
    assert verdicts == {"mine": "faster", "worse": "slower"}


def test_the_report_shows_the_metric_as_it_was_recorded(curves, tmp_path):
    command = ["verdict", str(curves), "--metric", "val_accuracy", "--mode", "max"]
    result = CliRunner().invoke(app, [*command, "--output", str(tmp_path / "out")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "Final accuracy minus the baseline's" in result.output
    assert "+0.0400 [" in result.output
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert data["objective"] == {"metric": "val_accuracy", "mode": "max"}
    mine = next(arm for arm in data["arms"] if arm["arm"] == "mine")
    assert mine["horizons"]["1000"]["mean"] == pytest.approx(0.8801)
    difference = mine["difference"]["baseline"]
    assert 0 < difference["low"] < difference["value"] < difference["high"]
    text = (tmp_path / "out" / "report.md").read_text()
    assert "For val_accuracy, higher is better." in text
    assert "loss" not in text
    page = (tmp_path / "out" / "report.html").read_text()
    assert "final validation accuracy" in page
    assert "Final validation accuracy of every whole run" in page


def test_a_run_without_a_number_at_its_end_is_lost_whichever_is_better(curves):
    frame = accuracies().astype({"val_accuracy": object})
    frame.loc[(frame.run == "mine-0-1000") & (frame.step == 1000), "val_accuracy"] = "nan"
    frame.to_csv(curves, index=False)
    mine = verdict(curves, metric="val_accuracy", mode="max").comparison.challengers[0]
    assert mine.main.lost == 1
    assert not mine.judgements


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "val_accuracy"}, "add --mode max if higher is better"),
        ({"metric": "val_accuracy", "mode": "high"}, "--mode high: must be one of min, max"),
        ({"mode": "max"}, "also name the metric"),
        ({"metric": "val_acuracy", "mode": "max"}, "column for --metric 'val_acuracy'.*'val_accuracy'"),
        ({"metric": "val_accuracy", "mode": "max", "val_loss": "val_error"}, "both name the compared metric"),
    ],
)
def test_a_metric_that_is_not_clear_is_one_line(curves, options, message):
    with pytest.raises(InvalidInput, match=message):
        verdict(curves, **options)


def test_a_metric_is_found_whatever_its_separators_are(curves):
    accuracies().rename(columns={"val_accuracy": "Val/Accuracy"}).to_csv(curves, index=False)
    assert verdict(curves, metric="val_accuracy", mode="max").comparison.challengers[0].speed_up("step")


def wandb_chart(frame: pd.DataFrame) -> pd.DataFrame:
    """The CSV of a chart of Weights & Biases: a column for each run."""
    wide = frame.pivot(index="step", columns="run", values="val_accuracy")
    return (
        wide.rename(columns=lambda run: f"{run} - eval/accuracy")
        .reset_index()
        .rename(columns={"step": "Step"})
    )


def wandb_history(frame: pd.DataFrame) -> pd.DataFrame:
    """`run.history()` of every run: losses in some rows, accuracies in others."""
    shown = frame.rename(
        columns={"arm": "group", "run": "id", "step": "_step", "val_accuracy": "eval/accuracy"}
    )
    return pd.concat(
        [shown, shown.assign(**{"eval/accuracy": None, "train/loss": 1.0, "_step": shown._step + 1})]
    )


@pytest.mark.parametrize("form", [wandb_chart, wandb_history])
@pytest.mark.parametrize("name", ["export.csv", "export.parquet"])
def test_exports_of_weights_and_biases_are_judged_by_an_accuracy(form, name, tmp_path):
    frame = accuracies()
    frame = frame[frame.run.str.endswith("1000")]
    frame = form(frame.assign(run=frame.run.str.removesuffix("-1000")))
    path = tmp_path / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    found = verdict(path, metric="eval/accuracy", mode="max").comparison
    differences = {arm.name: found.difference(arm.differences["baseline"])[0] for arm in found.challengers}
    assert differences == {"mine": pytest.approx(0.04), "worse": pytest.approx(-0.04)}
