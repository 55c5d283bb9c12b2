"""What a sweep says that it will be able to show, forecast before the confirm runs."""

import io
import math

import numpy as np
import pytest
from rich.console import Console
from simulated import make_plan, reports_of, simulate
from small_space import space_with

from ire.sweeps.findings.forecast import forecast, forecast_words
from ire.sweeps.findings.power import least_detectable
from ire.sweeps.findings.statistics.tuning_gain import trial_costs
from ire.sweeps.findings.statistics.verdict import TAIL
from ire.sweeps.records.records import SEARCH
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.progress import Progress
from ire.trial.metric import LOSS

FIELDS = {"methods": ("sgd", "adamw", "sgd-ire"), "trials": 10, "rules": 2, "studies": 3, "curve": (0.5, 2.0)}


def plan_of(**fields):
    return make_plan(**FIELDS | {"confirm_seeds": 2, "space": space_with({"search": {"rungs": []}})} | fields)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    plan = plan_of(confirm_seeds=0, curve=(), studies=1)  # the search alone
    return simulate(plan, tmp_path_factory.mktemp("search")).studies[0].arms


def test_the_forecast_is_the_error_of_the_best_over_the_slope_of_the_baseline(searched):
    best = min((searched[name] for name in ("sgd", "adamw")), key=lambda arm: arm.candidates[0].val_loss)
    run = best.candidates[0]
    half = next(report for report in run.reports if report["step"] == run.step / 2)
    slope = (half["val_loss"] - run.val_loss) / math.log(2)
    spreads = []
    draws = np.random.default_rng(1)
    for arm in (best, searched["sgd-ire"]):
        costs = trial_costs(arm.search, LOSS)
        spreads.append(np.std([draws.choice(costs, len(costs)).min() for _ in range(4000)]))
    exact = least_detectable(math.hypot(*spreads) / slope / math.sqrt(3), 3, TAIL)
    found = forecast(plan_of(), searched)
    assert set(found) == {"sgd-ire"}
    assert found["sgd-ire"] == pytest.approx(exact, rel=0.1)


def test_more_studies_resolve_more(searched):
    few, many = (forecast(plan_of(studies=studies), searched)["sgd-ire"] for studies in (3, 8))
    assert 1.05 < many < few


@pytest.mark.parametrize(
    "fields", [{"studies": 1}, {"curve": ()}, {"confirm_seeds": 0}, {"baselines": ("sgd-ire",)}]
)
def test_there_is_none_where_there_will_be_no_verdict(searched, fields):
    found = forecast(
        plan_of(**fields), {n: a for n, a in searched.items() if n != "sgd-ire" or "baselines" not in fields}
    )
    assert found == {}
    assert forecast_words(found, 3) == ""


def test_reports_that_are_forgotten_change_nothing(tmp_path):
    arms = simulate(plan_of(confirm_seeds=0, curve=(), studies=1), tmp_path).studies[0].arms
    before = forecast(plan_of(), arms)
    for arm in arms.values():
        for trial in arm.search:
            trial.forget_reports()
    assert forecast(plan_of(), arms) == before


def test_the_line_comes_once_with_the_first_run_that_is_no_search_trial(tmp_path):
    lines = io.StringIO()
    progress, protocol = (
        Progress(Console(file=lines, width=400), in_process=True),
        Protocol(plan_of(), tmp_path),
    )
    progress.opened(protocol)
    said = []
    while trial := protocol.next_trial():
        before = lines.getvalue()
        progress.started(trial)
        said += [trial.stage] * ("forecast before the confirm runs" in lines.getvalue().removeprefix(before))
        for report in reports_of(trial):
            if not protocol.report(trial, report):
                break
    assert len(said) == 1
    assert said[0] != SEARCH
    assert "sgd-ire" in lines.getvalue()
