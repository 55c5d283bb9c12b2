"""`report.json` of a sweep, of several or of curves is what its schema says: every key, and the type of every value."""

import itertools
import json
from collections.abc import Iterator
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pandas as pd
import pytest
from simulated import make_plan, simulate

from ire import open_experiment, verdict
from ire.sweeps.findings.pooling import PooledSweeps
from ire.sweeps.report import as_json
from ire.sweeps.report.curves.facts import curves_json
from ire.sweeps.report.curves.schema import CurvesFacts
from ire.sweeps.report.facts.schema import ReportFacts
from ire.sweeps.report.pooled import pooled_json
from ire.sweeps.report.pooled_schema import PooledFacts


def misfits(value: Any, kind: Any, place: str) -> Iterator[str]:
    """The places in `value` that are not of the type `kind`."""
    outer, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, UnionType):
        yield from min((list(misfits(value, each, place)) for each in inner), key=len)
    elif is_typeddict(kind) and isinstance(value, dict):
        hints = get_type_hints(kind)
        yield from (f"{place} lacks {key}" for key in kind.__required_keys__ - set(value))
        yield from (f"{place} has {key}" for key in set(value) - set(hints))
        for key in set(value) & set(hints):
            yield from misfits(value[key], hints[key], f"{place}.{key}")
    elif outer is list and isinstance(value, list):
        for number, each in enumerate(value):
            yield from misfits(each, inner[0], f"{place}[{number}]")
    elif outer is dict and isinstance(value, dict):
        for key, each in value.items():
            yield from misfits(each, inner[1], f"{place}.{key}")
    elif outer is not None or is_typeddict(kind):
        yield f"{place} = {value!r}"
    elif kind is not Any:
        types = (float, int) if kind is float else (kind,)
        if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
            yield f"{place} = {value!r}"


def as_written(report: Any) -> Any:
    """A report as it is read from its file."""
    return json.loads(json.dumps(report, allow_nan=False))


@pytest.mark.parametrize(
    "fields",
    [
        {"curve": (0.5, 2.0), "controls": True, "candidates": 2, "confirm_seeds": 3, "studies": 3},
        {"curve": (), "confirm_seeds": 0},
    ],
    ids=["everything", "a search alone"],
)
def test_a_report_fits_its_schema(fields, tmp_path):
    plan = make_plan(**fields)
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    simulate(plan, tmp_path, slots=3, fails=("sgd-0003",))
    report = as_written(as_json(open_experiment(tmp_path)))
    assert list(misfits(report, ReportFacts, "report")) == []
    del report["methods"][0]["winners"]
    report["methods"][0]["by_clock"] = {"step": {"verdict": 1}}
    report["horizon"] = "240"
    assert set(misfits(report, ReportFacts, "report")) >= {
        "report.methods[0] lacks winners",
        "report.methods[0].by_clock.step.verdict = 1",
        "report.horizon = '240'",
    }


@pytest.mark.parametrize(
    ("tasks", "seeds"), [(("digits", "other", "third"), 1), (("digits",), 3)], ids=["profiles", "verdicts"]
)
def test_a_report_of_several_sweeps_fits_its_schema(tasks, seeds, tmp_path):
    fields = {"methods": ("sgd", "sgd-ire"), "trials": 4, "confirm_seeds": 3, "curve": (0.5, 2.0)}
    sweeps = []
    for task, seed in itertools.product(tasks, range(seeds)):
        plan, folder = make_plan(task=task, seed=seed, **fields), tmp_path / f"{task}-{seed}"
        folder.mkdir()
        (folder / "sweep.toml").write_text(plan.to_toml())
        simulate(plan, folder)
        sweeps.append(open_experiment(folder))
    report = as_written(pooled_json(PooledSweeps(sweeps)))
    assert list(misfits(report, PooledFacts, "report")) == []
    assert bool(report["profile_ratios"]) == (len(tasks) == 3)
    assert bool(report["methods"]["sgd-ire"]["verdict"]["step"]) == (seeds == 3)
    report["sweeps"][0]["seed"] = 0
    report["methods"]["sgd"]["verdict"] = "faster"
    report["methods"]["sgd-ire"]["geometric_mean"]["step"] = {"text": 2}
    del report["profile_ratios"]
    assert set(misfits(report, PooledFacts, "report")) >= {
        "report lacks profile_ratios",
        "report.sweeps[0] has seed",
        "report.methods.sgd.verdict = 'faster'",
        "report.methods.sgd-ire.geometric_mean.step = {'text': 2}",
    }


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy"])
def test_a_report_on_curves_fits_its_schema(metric, tmp_path):
    ends = {
        ("b", 500): 0.3,
        ("b", 1000): 0.2,
        ("b", 2000): 0.1,
        ("mine", 1000): 0.1,
        ("lost", 1000): float("nan"),
    }
    rows = [
        {"arm": arm, "run": f"{seed}-{horizon}", "seed": seed, "step": horizon, metric: end + seed / 1000}
        for (arm, horizon), end in ends.items()
        for seed in range(3)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "curves.csv", index=False, na_rep="nan")
    mode = {"metric": metric, "mode": "max"} if metric != "val_loss" else {}
    found = verdict(tmp_path / "curves.csv", baseline="b", **mode).comparison
    report = as_written(curves_json(found))
    assert list(misfits(report, CurvesFacts, "report")) == []
    assert ("objective" in report) == bool(mode)
    arms = {arm["arm"]: arm for arm in report["arms"]}
    mine = report["arms"].index(arms["mine"])
    ratio = arms["mine"]["speed_up"]["step"]["ratio"]
    assert ratio["bound"] == {0: None, 1: "at least", -1: "at most", 2: "unknown"}[ratio["censored"]]
    del arms["mine"]["horizons"]["1000"]["lost"]
    arms["mine"]["difference"]["b"]["units"] = 3
    arms["mine"]["speed_up"]["step"]["ratio"]["censored"] = "at least"
    assert set(misfits(report, CurvesFacts, "report")) == {
        f"report.arms[{mine}].horizons.1000 lacks lost",
        f"report.arms[{mine}].difference.b has units",
        f"report.arms[{mine}].speed_up.step.ratio.censored = 'at least'",
    }
