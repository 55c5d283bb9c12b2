"""Which row of the calibration a report shows, and that the published rows are the measured ones."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from simulated import make_plan

from ire.sweeps.findings import calibration
from ire.sweeps.findings.calibration import (
    AT_RANDOM,
    BY_PROTOCOL,
    FIVE,
    SAME,
    UNTIL_DECIDED,
    WARM,
    WIDENED,
    Calibration,
    calibration_of,
    calibrations,
)
from ire.sweeps.plan.imported import Imported

IMPORTED = Imported(source="another", spent={}, trials=())


def row(line=SAME, studies=3, surface="digits", searched=AT_RANDOM, slower=0.02):
    shares = {"faster": 0.0, "slower": slower, "covers": 0.95, "estimate": 1.0, "could_find": 1.3}
    return Calibration(surface=surface, line=line, searched=searched, studies=studies, sweeps=1000, **shares)


ROWS = (
    row(),
    row(studies=5),
    row(searched=BY_PROTOCOL, slower=0.01),
    row(surface="stdlib-lm", slower=0.03),
    row(FIVE),
    row(WARM),
    row(WIDENED),
    row(UNTIL_DECIDED),
)


@pytest.fixture(autouse=True)
def rows(monkeypatch):
    """Rows of our own, in place of the measured ones."""
    monkeypatch.setattr(calibration, "calibrations", lambda: ROWS)


def compared(*, studies=3, challengers=1, widenings=()):
    rows = [SimpleNamespace(is_baseline=True), *[SimpleNamespace(is_baseline=False)] * challengers]
    return SimpleNamespace(judges_methods=studies >= 3, studies=studies, widenings=widenings, rows=rows)


def of(plan=None, **comparison):
    return calibration_of(plan or make_plan(), compared(**comparison))


def test_searches_by_the_protocol_count_before_searches_at_random():
    assert of() == ROWS[2]


def test_of_more_studies_the_row_is_the_largest_that_was_simulated():
    assert of(studies=7) == ROWS[1]
    assert of(studies=4) == ROWS[2]


def test_configurations_have_none():
    assert of(studies=2) is None


def test_another_task_has_the_row_in_which_verdicts_were_wrong_most_often(monkeypatch):
    monkeypatch.setattr(calibration, "calibrations", lambda: (row(), row(surface="stdlib-lm", slower=0.03)))
    assert of(make_plan(task="mine", space=replace(make_plan().space, task="mine"))).slower == 0.03
    assert of().slower == 0.02


def test_what_the_sweep_did_chooses_the_line():
    assert of(challengers=3).line == FIVE
    assert of(make_plan(imported=IMPORTED), challengers=3).line == WARM
    assert of(widenings=["one"]).line == WIDENED
    assert of(make_plan(until_decided=6, studies=3)).line == UNTIL_DECIDED


def test_a_line_that_nobody_simulated_has_none(monkeypatch):
    monkeypatch.setattr(calibration, "calibrations", lambda: ROWS[:1])
    assert of(challengers=3) is None


@pytest.mark.parametrize(
    "row", calibrations(), ids=lambda row: f"{row.surface}-{row.line}-{row.searched}-{row.studies}"
)
def test_every_measured_row_stands_in_the_docs(row):
    docs = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    table = docs.split(f"`{row.surface}`, ")[1]
    name = row.line + (", protocol" if row.searched == BY_PROTOCOL else "")
    studies = "3-6" if "--until-decided" in row.line else str(row.studies)
    lines = [line.split() for line in table.splitlines() if line.strip().startswith(name)]
    found = next(line for line in lines if line[len(name.split())] == studies)
    shares = [f"{value:.3f}" for value in (row.faster, row.slower, row.covers, row.estimate)]
    assert found[len(name.split()) + 1 :][:5] == [*shares, f"{row.could_find:.2f}"]
