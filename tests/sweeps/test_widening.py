"""A search that presses against its ranges moves them, for all methods that share them, within limits."""

import pytest
from simulated import Killed, make_plan, simulate, table
from small_space import space_with

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.sweeps.findings.comparison import compare
from ire.sweeps.findings.results import Results
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.open_home import new_home
from ire.sweeps.records.records import CONFIRM, SEARCH
from ire.sweeps.report.facts.sweep import as_json
from ire.sweeps.report.sentences.further import further_findings
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.search.range_ends import edges
from ire.sweeps.search.widening import Moved, _further, check_limits
from search_spaces import Interval

SGD = parse_method("sgd")


def space(limits=(1e-3, 10.0), lr=(0.2, 0.9)):
    """Learning rates far above the best one of simulated trials, which is 0.05."""
    own = {"log": list(lr), "published": lr[0], "limits": list(limits)}
    return space_with({"sgd": {"lr": own}, "search": {"startup_trials": 2}})


def plan_of(**fields) -> Plan:
    usual = {"methods": ("sgd", "sgd-ire", "adamw"), "trials": 6, "rules": 2, "widen": True, "space": space()}
    return make_plan(**usual | fields)


def searched(protocol, name, study=0):
    return [t for t in protocol.studies[study].arms[name].search]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    home = new_home(tmp_path_factory.mktemp("widened"), "simulated")
    home.create()
    plan = plan_of()
    return home, simulate(plan, home.folder)


def test_the_end_moves_by_half_of_the_range_for_all_methods_that_share_it(swept):
    _, protocol = swept
    (first, *_) = protocol.studies[0].widenings
    (moved,) = first.moved
    assert (moved.table, moved.setting, moved.old) == ("sgd", "lr", (0.2, 0.9))
    assert moved.new == (pytest.approx(0.2 / (0.9 / 0.2) ** 0.5), 0.9)
    for name in ("sgd", "sgd-ire"):
        assert protocol.arms[name].plan.space.dimensions(parse_method(name))["lr"].low <= moved.new[0]
        assert min(t.spec.settings["lr"] for t in searched(protocol, name)) < 0.2
    assert "lr" not in [
        edge.setting for edge in edges(protocol.arms["sgd"].plan, "sgd", protocol.arms["sgd"].settings)
    ]


def test_every_method_gets_half_as_many_trials_again(swept):
    _, protocol = swept
    rounds = len(protocol.studies[0].widenings)
    assert {arm.plan.trials for arm in protocol.arms.values()} == {6 + 3 * rounds}
    assert all(6 < len(arm.search) <= 6 + 3 * rounds for arm in protocol.arms.values())


def test_nothing_is_confirmed_before_the_ranges_are_settled(swept):
    _, protocol = swept
    stages = [trial.stage for trial in protocol.records.trials.values()]
    assert SEARCH not in stages[stages.index(CONFIRM) :]


def test_what_was_widened_is_in_the_report_and_the_budget(swept):
    home, protocol = swept
    results = Results(home, protocol.plan, protocol.plan.to_toml(), read=protocol.records)
    said = " ".join(further_findings(results))
    assert "lr [0.2, 0.9] -> [0.0943, 0.9] (sgd, sgd-ire)" in said
    assert "3 more search trials" in said
    facts = as_json(results)
    assert facts["widened"][0]["ranges"][0]["new"][0] == pytest.approx(0.0943, rel=1e-3)
    budget = next(c for c in results.comparison.contract if c.name == "budget")
    assert f"may spend {protocol.arms['sgd'].plan.budget} gradient" in budget.text
    assert results.comparison.is_complete


def test_a_widened_search_resumes_with_the_same_trials(tmp_path):
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = table(simulate(plan_of(), tmp_path / "whole"))
    with pytest.raises(Killed):
        simulate(plan_of(), tmp_path / "broken", kill_after=150)
    assert table(simulate(plan_of(), tmp_path / "broken")) == whole


def test_results_alone_know_what_was_widened(tmp_path):
    protocol = simulate(plan_of(), tmp_path)
    (tmp_path / "trials.jsonl").unlink()
    again = simulate(plan_of(), tmp_path)
    assert again.studies[0].widenings == protocol.studies[0].widenings
    assert table(again) == table(protocol)


def test_a_finished_sweep_is_widened_on_resume(tmp_path):
    first = simulate(plan_of(widen=None), tmp_path)
    assert compare(first.plan, first.records).row("sgd").edges
    assert not first.studies[0].widenings
    more = simulate(plan_of(), tmp_path)
    assert more.studies[0].widenings
    found = compare(more.plan, more.records)
    assert "lr" not in [edge.setting for edge in found.row("sgd").edges]


def test_limits_end_it_and_the_comparison_stays_unfinished(tmp_path):
    protocol = simulate(plan_of(space=space(limits=(0.195, 10.0))), tmp_path)
    assert [w.moved[0].new for w in protocol.studies[0].widenings] == [(0.195, 0.9)]
    assert "lr" in [edge.setting for edge in compare(protocol.plan, protocol.records).row("sgd").edges]


def test_studies_widen_each_by_itself(tmp_path):
    protocol = simulate(plan_of(studies=2, methods=("sgd", "adamw")), tmp_path)
    assert [len(study.widenings) > 0 for study in protocol.studies] == [True, True]
    for study in protocol.studies:
        assert {w.study for w in study.widenings} == {study.number}


def test_without_widen_limits_change_nothing(tmp_path):
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    bare = {"sgd": {"lr": {"log": [0.2, 0.9], "published": 0.2}}, "search": {"startup_trials": 2}}
    one = simulate(plan_of(widen=None), tmp_path / "with")
    other = simulate(plan_of(widen=None, space=space_with(bare)), tmp_path / "without")
    assert table(one) == table(other)


def test_widening_needs_limits():
    with pytest.raises(InvalidInput, match="no range in a test has limits"):
        check_limits(plan_of(space=space_with({"search": {"startup_trials": 2}})))


def test_limits_at_which_ire_would_start_after_the_first_rung_are_refused():
    late = {"linear": [0.05, 0.4], "published": 0.3, "limits": [0.0, 0.9]}
    with pytest.raises(InvalidInput, match="first rung"):
        check_limits(plan_of(space=space_with({"ire": {"start_fraction": late}})))


def test_a_plan_without_widen_does_not_mention_it():
    assert "widen" not in make_plan().to_toml()
    assert Plan.from_toml(plan_of().to_toml(), source="sweep.toml").widen is True


def test_a_range_of_whole_numbers_and_a_linear_one_move_on_their_own_scales():
    whole = Interval(low=5, high=8, published=6, integer=True, limits=(1, 100))
    assert _further(whole, is_lower=True) == (3, 8)
    assert _further(whole, is_lower=False) == (5, 10)
    linear = Interval(low=0.0, high=0.5, published=0.1, limits=(0.0, 0.6))
    assert _further(linear, is_lower=True) is None
    assert _further(linear, is_lower=False) == (0.0, 0.6)
    assert (
        str(Moved(table="sgd", setting="lr", old=(0.1, 1.0), new=(0.1, 10.0))) == "lr [0.1, 1] -> [0.1, 10]"
    )


@pytest.mark.parametrize(("lr", "at_edge"), [(0.1, False), (1.0, False), (20.0, True)])
def test_weight_decay_next_to_none_is_no_edge(lr, at_edge):
    plan = make_plan(space=space_with({"sgd": {"lr": {"log": [0.01, 100.0], "published": 0.1}}}))
    settings = SGD.resolve({"lr": lr, "weight_decay": 1e-6})  # in 240 steps
    assert ("weight_decay" in [edge.setting for edge in edges(plan, "sgd", settings)]) is at_edge


def test_what_no_method_could_pay_for_is_not_widened(tmp_path):
    space = space_with(
        {
            "horizon": 48,
            "search": {"rungs": [], "budget_per_trial": 0.25},
            "sgd": {"lr": {"log": [0.3, 0.5], "published": 0.3, "limits": [1e-3, 10.0]}},
        }
    )
    plan = plan_of(methods=("sam-sgd", "sam-sgd-ire"), trials=10, confirm_seeds=1, space=space)
    protocol = simulate(plan, tmp_path)
    assert compare(plan, protocol.records).is_complete
    again = Protocol(plan, tmp_path)
    assert again.is_over and again.next_trial() is None
