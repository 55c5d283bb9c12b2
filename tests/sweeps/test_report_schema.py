"""`report.json` is what its schema says: every key of every table, and the type of every value."""

import json
from collections.abc import Iterator
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from simulated import make_plan, simulate

from ire import open_experiment
from ire.sweeps.report import as_json
from ire.sweeps.report.facts.schema import ReportFacts


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
    report = json.loads(json.dumps(as_json(open_experiment(tmp_path)), allow_nan=False))
    assert list(misfits(report, ReportFacts, "report")) == []
    del report["methods"][0]["winners"]
    report["methods"][0]["by_clock"] = {"step": {"verdict": 1}}
    report["horizon"] = "240"
    assert set(misfits(report, ReportFacts, "report")) >= {
        "report.methods[0] lacks winners",
        "report.methods[0].by_clock.step.verdict = 1",
        "report.horizon = '240'",
    }
