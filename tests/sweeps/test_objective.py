"""Searches, pruning, selection and verdicts by another metric than the validation loss."""

import pytest
from optuna.study import StudyDirection
from simulated import make_plan, reports_of, simulate, table
from small_space import space_with
from test_study import studies

from ire.methods.method import parse_method
from ire.sweeps.findings.comparison import compare
from ire.sweeps.findings.results import Results
from ire.sweeps.records.open_home import new_home
from ire.sweeps.report.drawing.palette import styles
from ire.sweeps.report.facts.sweep import as_json
from ire.sweeps.report.pictures.forest import forest
from ire.sweeps.report.sentences.further import further_findings
from ire.sweeps.report.sentences.headline import headline
from ire.sweeps.search.timing import is_timed

FIELDS = {"rules": 2, "studies": 1, "candidates": 2, "trials": 6, "confirm_seeds": 3, "curve": (0.5, 2.0)}


def reports_with_score(trial):
    """The reports of a simulated trial with a metric that rises as its loss falls, but for the sign of their spread."""
    for report in reports_of(trial):
        loss = report["val_loss"]
        report["val_score"] = None if loss is None else 2 - loss
        if "test_loss" in report:
            report["test_score"] = 2 - report["test_loss"]
        yield report


@pytest.fixture(scope="module")
def by_loss(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loss")
    return simulate(make_plan(**FIELDS, space=space_with({"search": {"startup_trials": 3}})), folder)


@pytest.fixture(scope="module")
def by_score(tmp_path_factory):
    home = new_home(tmp_path_factory.mktemp("score"), "simulated")
    home.create()
    space = space_with({"search": {"startup_trials": 3}, "objective": {"metric": "val_score", "mode": "max"}})
    plan = make_plan(**FIELDS, space=space)
    return home, simulate(plan, home.folder, reports=reports_with_score)


def test_to_maximise_what_rises_as_the_loss_falls_is_to_minimise_the_loss(by_loss, by_score):
    one, other = table(by_loss), table(by_score[1])
    assert [row[:6] for row in one] == [row[:6] for row in other]
    assert [row[6].settings for row in one] == [row[6].settings for row in other]
    assert [row[7] for row in one] == [row[7] for row in other]


def test_speed_ups_by_such_a_metric_are_those_of_the_loss(by_loss, by_score):
    one, other = (compare(p.plan, p.records) for p in (by_loss, by_score[1]))
    assert other.judged == "test_score"
    for row in one.rows:
        twin = other.row(row.method)
        for clock, speed_up in row.speed_ups.items():
            if clock == "wall" and is_timed(by_loss.plan):
                continue
            assert twin.speed_ups[clock].ratio.value == pytest.approx(speed_up.ratio.value)
        for clock, ratio in row.best_run.items():
            assert twin.best_run[clock].value == pytest.approx(ratio.value)
        if row.against_best is not None:
            assert twin.against_best.value == pytest.approx(-row.against_best.value)
            assert twin.against_best.shows_worse == row.against_best.shows_worse
            assert twin.against_best.shows_better == row.against_best.shows_better


def test_the_journal_is_maximised(by_score):
    home, _ = by_score
    directions = {study.direction for study in studies(home.folder).values()}
    assert directions == {StudyDirection.MAXIMIZE}


def test_the_report_says_what_is_compared_and_which_way(by_score):
    home, protocol = by_score
    results = Results(home, protocol.plan, protocol.plan.to_toml(), read=protocol.records)
    said = " ".join([headline(results), *further_findings(results)])
    assert "in score than the one found for" in said
    facts = as_json(results)
    assert facts["objective"] == {"metric": "val_score", "mode": "max"}
    best = facts["methods"][0]["expected_best"]
    assert best["mean"] == sorted(best["mean"])  # more trials find a higher one
    assert all(
        low <= mean <= high
        for low, mean, high in zip(*(best[k] for k in ("low", "mean", "high")), strict=True)
    )


def test_without_speed_ups_the_picture_shows_the_metric_and_which_side_is_better(tmp_path):
    home = new_home(tmp_path, "simulated")
    home.create()
    space = space_with({"search": {"startup_trials": 3}, "objective": {"metric": "val_score", "mode": "max"}})
    plan = make_plan(**FIELDS | {"curve": ()}, space=space)
    protocol = simulate(plan, home.folder, reports=reports_with_score)
    results = Results(home, plan, plan.to_toml(), read=protocol.records)
    picture = forest(results, styles([parse_method(name) for name in plan.methods]))
    assert picture is not None and picture.caption.startswith("Right of 0 is better than")
    assert "score" in picture.title and picture.panels[0].x.label.startswith("final score minus")


def test_a_report_of_the_loss_does_not_mention_an_objective(by_loss, tmp_path):
    home = new_home(tmp_path, "simulated")
    home.create()
    facts = as_json(Results(home, by_loss.plan, by_loss.plan.to_toml(), read=by_loss.records))
    assert "objective" not in facts
    assert not any("final_values" in row for row in facts["methods"])
