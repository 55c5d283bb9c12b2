"""A sweep that starts from the search trials of another one: what it takes, what it does with them, what it says."""

from dataclasses import replace

import pytest
from simulated import Killed, make_plan, simulate, table
from small_space import space_with
from test_study import studies

from ire.invalid_input import InvalidInput
from ire.sweeps.findings.contract import clauses
from ire.sweeps.findings.results import Results
from ire.sweeps.plan.plan import Plan
from ire.sweeps.plan.warm_start import warm_started
from ire.sweeps.records.open_home import new_home
from ire.sweeps.records.records import DIVERGED, FINISHED
from ire.sweeps.report.facts.sweep import as_json
from ire.sweeps.report.sentences.further import further_findings
from ire.sweeps.report.sentences.headline import headline


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A finished sweep of two methods, some of whose trials diverged."""
    home = new_home(tmp_path_factory.mktemp("before"), "earlier")
    home.create()
    plan = make_plan(name="earlier", methods=("sgd", "adamw"), trials=12, confirm_seeds=0)
    (home.folder / "sweep.toml").write_text(plan.to_toml())
    return home, simulate(plan, home.folder)


def plan_of(before, **fields) -> Plan:
    usual = {"methods": ("sgd", "sgd-ire", "adamw"), "trials": 4, "rules": 2, "seed": 5}
    return make_plan(**usual | {"warm_start": before[0].location} | fields)


def warm(before, **fields) -> Plan:
    return warm_started(plan_of(before, **fields)).plan


def test_finished_and_diverged_search_trials_are_taken(before):
    trials = [t for t in before[1].arms["sgd"].search if t.status in (FINISHED, DIVERGED)]
    imported = warm(before).imported
    assert [t.name for t in imported.of("sgd")] == [t.name for t in trials]
    assert [t.value for t in imported.of("sgd")] == [
        t.val_loss if t.status == FINISHED else None for t in trials
    ]
    assert DIVERGED in [t.status for t in trials]
    assert imported.of("sgd-ire") == []


def test_the_best_one_runs_again_after_the_published_settings(before, tmp_path):
    protocol = simulate(warm(before), tmp_path)
    best = before[1].arms["sgd"].candidates[0]
    lrs = [t.spec.settings["lr"] for t in protocol.arms["sgd"].search]
    assert lrs[:2] == [0.1, best.spec.settings["lr"]]
    assert protocol.arms["sgd"].search[1].spec.seed != best.spec.seed


def test_the_sampler_knows_them(before, tmp_path):
    for name in ("warm", "cold"):
        (tmp_path / name).mkdir()
    protocol = simulate(warm(before), tmp_path / "warm")
    cold = simulate(plan_of(before), tmp_path / "cold")
    last = [p.arms["adamw"].search[-1].spec.settings["lr"] for p in (protocol, cold)]
    assert last[0] != last[1]
    known = [t for t in studies(tmp_path / "warm")["simulated/sgd"].trials if "imported" in t.user_attrs]
    assert [t.user_attrs["imported"] for t in known] == [t.name for t in protocol.plan.imported.of("sgd")]


def test_such_a_sweep_resumes_with_the_same_trials_wherever_the_other_one_is(before, tmp_path):
    plan = warm(before)
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = table(simulate(plan, tmp_path / "whole"))
    with pytest.raises(Killed):
        simulate(plan, tmp_path / "broken", kill_after=60)
    again = Plan.from_toml(plan.to_toml(), source="sweep.toml")  # nothing else is read
    assert again == plan
    assert table(simulate(again, tmp_path / "broken")) == whole


def test_their_cost_counts_as_spent(before, tmp_path):
    plan = warm(before)
    protocol = simulate(plan, tmp_path)
    spent = sum(t.gradient_evaluations for t in before[1].arms["sgd"].search)
    assert plan.imported.spent["sgd"] == spent
    (budget,) = [c for c in clauses(plan, [protocol.studies[0].arms]) if c.name == "budget"]
    assert f"sgd {protocol.arms['sgd'].spent + spent}," in budget.text


def test_the_report_declares_them(before, tmp_path):
    results = results_of(warm(before), tmp_path)
    said = " ".join(further_findings(results))
    assert "warm-started with trials of earlier (sgd " in said
    assert as_json(results)["warm_start"]["from"] == "earlier"


def results_of(plan, folder):
    home = new_home(folder, "simulated")
    home.create()
    return Results(home, plan, plan.to_toml(), read=simulate(plan, home.folder).records)


def test_a_study_starts_from_the_study_of_its_number_there(before, tmp_path):
    of_three = replace(warm(before, studies=3), imported=by_turns(warm(before).imported, 3))
    protocol = simulate(of_three, tmp_path)
    for number, study in enumerate(protocol.studies):
        best = of_three.imported.best("sgd", of_three.space.metric, number)
        assert best.study == number
        assert study.arms["sgd"].search[1].spec.settings["lr"] == best.settings["lr"]
    assert Plan.from_toml(of_three.to_toml(), source="sweep.toml").imported == of_three.imported


@pytest.mark.parametrize(("there", "about_methods"), [(1, False), (2, False), (3, True)])
def test_studies_that_start_from_the_same_search_compare_configurations(
    before, tmp_path, there, about_methods
):
    imported = by_turns(warm(before).imported, there)
    results = results_of(replace(warm(before, studies=3), imported=imported, warm_start=None), tmp_path)
    assert results.comparison.judges_methods == about_methods
    said = " ".join([headline(results), *further_findings(results)])
    assert ("3 studies that start from the same search cannot tell" in said) != about_methods
    assert "adds the studies that a verdict" not in said


def by_turns(imported, studies):
    """The trials as if so many studies had searched them by turns."""
    finished_first = sorted(imported.trials, key=lambda t: (t.method, t.value is None))
    trials = tuple(replace(t, study=number % studies) for number, t in enumerate(finished_first))
    return replace(imported, trials=trials)


def test_trials_outside_of_what_is_searched_here_are_left_out(before):
    narrow = space_with({"sgd": {"lr": {"log": [0.05, 0.5], "published": 0.1}}})
    lrs = [t.settings["lr"] for t in warm(before, space=narrow).imported.of("sgd")]
    assert lrs
    assert all(0.05 <= lr <= 0.5 for lr in lrs)
    assert len(lrs) < len(warm(before).imported.of("sgd"))


def test_trials_with_another_fixed_setting_are_left_out(before):
    other = space_with({"sgd": {"momentum": 0.5}})
    assert warm(before, space=other).imported.of("sgd") == []
    with pytest.raises(InvalidInput, match="none of its search trials"):
        warm(before, space=other, methods=("sgd",))


def test_trials_that_do_not_say_what_is_searched_here_are_left_out(before):
    wider = space_with({"task": {"dropout": {"linear": [0.0, 0.5], "published": 0.1}}})
    with pytest.raises(InvalidInput, match="none of its search trials"):
        warm(before, space=wider)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"space": space_with({"horizon": 480})}, "horizon 480, there 240"),
        ({"schedule": "linear"}, "schedule 'linear', there 'cosine'"),
        (
            {"space": space_with({"objective": {"metric": "val_accuracy", "mode": "max"}})},
            "metric 'val_accuracy, max', there 'val_loss, min'",
        ),
        ({"task": "stdlib-lm"}, "task 'stdlib-lm', there 'digits'"),
        (
            {"warm_start": "nowhere"},
            "--warm-start: '.*nowhere' is not an experiment folder.*`ire list` shows",
        ),
    ],
)
def test_an_experiment_that_tells_nothing_about_this_one_is_refused(before, fields, message):
    with pytest.raises(InvalidInput, match=message):
        warm(before, **fields)


def test_a_plan_without_warm_start_does_not_mention_it():
    text = make_plan().to_toml()
    assert "warm_start" not in text
    assert "imported" not in text


@pytest.mark.parametrize(
    "wrong", ['trials = "many"', "spent = 3", "source = 3\n[imported.spent]\ntrials = []"]
)
def test_damaged_imports_are_named(wrong):
    text = make_plan().to_toml() + f"\n[imported]\n{wrong}\n"
    with pytest.raises(InvalidInput, match=r"\[imported\]: not the trials of a warm start"):
        Plan.from_toml(text, source="sweep.toml")
