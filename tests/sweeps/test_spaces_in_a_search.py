"""What a search makes of conditions, known points, fixed methods, batch sizes and another sampler."""

import pytest
from simulated import Killed, make_plan, simulate, table
from small_space import space_with

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.sweeps.experiments.experiment import Experiment
from ire.sweeps.findings.comparison import compare
from ire.sweeps.findings.contract import clauses
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.open_home import new_home
from ire.sweeps.watch.tensorboard import TensorBoard

WSD = {
    "shared": {
        "schedule": {"choice": ["cosine", "wsd"], "published": "cosine"},
        "decay_share": {"linear": [0.1, 0.5], "published": 0.2, "when": "schedule == 'wsd'"},
        "task": {"dropout": {"choice": [0.0, 0.1, 0.2], "published": 0.1, "when": "lr < 0.2"}},
    }
}


def settings_of(protocol, method):
    return [dict(trial.spec.settings) for trial in protocol.arms[method].search]


def test_a_setting_is_suggested_where_its_condition_holds_and_nowhere_else(tmp_path):
    protocol = simulate(make_plan(methods=("sgd",), trials=16, space=space_with(WSD)), tmp_path)
    found = settings_of(protocol, "sgd")
    assert {s["schedule"] for s in found} == {"cosine", "wsd"}
    for settings in found:
        assert ("decay_share" in settings) == (settings["schedule"] == "wsd")
        assert ("task.dropout" in settings) == (settings["lr"] < 0.2)


def test_a_conditional_search_resumes_with_the_same_trials(tmp_path):
    plan = make_plan(methods=("sgd",), trials=10, space=space_with(WSD))
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = table(simulate(plan, tmp_path / "whole"))
    with pytest.raises(Killed):
        simulate(plan, tmp_path / "broken", kill_after=40)
    assert table(simulate(plan, tmp_path / "broken")) == whole


def test_known_points_are_tried_after_the_published_one(tmp_path):
    space = space_with({"points": {"sgd": [{"lr": 0.2}, {"lr": 0.3, "weight_decay": 1e-3}]}})
    protocol = simulate(make_plan(methods=("sgd", "sgd-ire"), trials=5, space=space), tmp_path)
    for method in ("sgd", "sgd-ire"):
        first = settings_of(protocol, method)[:4]
        assert [s["lr"] for s in first[:3]] == [0.1, 0.2, 0.3]
        assert first[2]["weight_decay"] == 1e-3
        assert first[3]["lr"] not in (0.1, 0.2, 0.3)


def test_a_method_with_nothing_to_search_runs_once(tmp_path):
    fixed = {"sgd": {"lr": 0.05}, "shared": {"weight_decay": 5e-4, "warmup_fraction": 0.05}}
    plan = make_plan(methods=("sgd", "adamw"), trials=6, space=space_with(fixed))
    protocol = simulate(plan, tmp_path)
    assert len(protocol.arms["sgd"].search) == 1
    assert len(protocol.arms["adamw"].search) > 1
    assert len(protocol.arms["sgd"].confirm) == plan.confirm_seeds


def fixed_plan(**point) -> Plan:
    space = space_with({"fixed": {"sgd": {"lr": 0.05, **point}}})
    return make_plan(methods=("sgd", "sgd-ire"), trials=6, rules=2, candidates=2, space=space)


def test_a_fixed_baseline_runs_as_it_is_and_is_confirmed_like_all_others(tmp_path):
    plan = fixed_plan()
    arms = simulate(plan, tmp_path).arms
    assert [trial.spec.settings["lr"] for trial in arms["sgd"].search] == [0.05]
    assert [run.number for run in arms["sgd"].confirm] == [run.number for run in arms["sgd-ire"].confirm]
    assert not [run for run in arms["sgd"].later if run.stage == "select"]


@pytest.mark.parametrize(
    ("cost", "kept", "words"),
    [
        (None, True, "sgd an unknown number"),
        (1_000_000, True, "sgd 10002"),
        (0, False, "sgd-ire spent more than 1.33 times as much as sgd"),
    ],
)
def test_what_a_fixed_baseline_cost_is_known_by_hand_or_said_to_be_unknown(tmp_path, cost, kept, words):
    plan = fixed_plan(**({} if cost is None else {"search_cost": cost}))
    protocol = simulate(plan, tmp_path)
    found = {clause.name: clause for clause in clauses(plan, [protocol.studies[0].arms])}
    assert found["budget"].kept is kept
    assert words in found["budget"].text
    assert found["ranges"].kept
    assert "not searched: sgd" in found["trials"].text


def test_a_fixed_baseline_does_not_leave_the_comparison_unfinished(tmp_path):
    protocol = simulate(fixed_plan(), tmp_path)
    row = compare(protocol.plan, protocol.records).row("sgd")
    assert not row.is_searched
    assert row.is_finished


def test_trials_of_larger_batches_cost_more_of_the_budget(tmp_path):
    batches = {"task": {"batch_size": {"choice": [32, 64, 128], "published": 64}}}
    plan = make_plan(methods=("sgd",), space=space_with(batches))
    sgd = parse_method("sgd")
    assert plan.most_expensive_trial(sgd) == 2 * plan.space.horizon
    assert plan.cost(sgd, {"task.batch_size": 32}, 100) == 50
    trial = plan.search_trial("sgd", 0, plan.space.published(sgd) | {"task.batch_size": 128})
    assert trial.batch_unit == 64


def test_what_a_record_says_of_a_trial_is_unchanged_where_nothing_new_is_used():
    plan = make_plan()
    spec = plan.search_trial("sgd", 0, plan.space.published(parse_method("sgd")))
    assert {"metric", "batch_unit"}.isdisjoint(spec.to_dict())
    assert type(spec).from_dict(spec.to_dict()) == spec


def test_the_sampler_may_draw_at_random(tmp_path):
    def suggested(sampler, folder):
        folder.mkdir()
        space = space_with({"search": {"sampler": sampler, "startup_trials": 2}})
        protocol = simulate(make_plan(methods=("sgd",), trials=8, space=space), folder)
        return [s["lr"] for s in settings_of(protocol, "sgd")]

    random, tpe = suggested("random", tmp_path / "r"), suggested("tpe", tmp_path / "t")
    assert random != tpe
    assert len(set(random)) == len(random)


def test_attributes_of_the_task_and_conditions_survive_sweep_toml():
    plan = make_plan(space=space_with(WSD))
    again = Plan.from_toml(plan.to_toml(), source="sweep.toml")
    assert again.space == plan.space


def test_a_sweep_with_conditions_is_followed_and_reported_like_any_other(tmp_path):
    conditional = {
        **WSD,
        "ire": {"kappa": {"log": [0.5, 10.0], "published": 1.0, "when": "schedule == 'wsd'"}},
        "search": {"startup_trials": 3},
    }
    with pytest.raises(InvalidInput, match="kappa of sgd-ire has no default and must always have a value"):
        make_plan(space=space_with(conditional)).check()
    home = new_home(tmp_path, "simulated")
    home.create()
    plan = make_plan(methods=("sgd", "sgd-ire"), trials=8, rules=2, space=space_with(WSD))
    (home.folder / "sweep.toml").write_text(plan.to_toml())
    protocol = simulate(plan, home.folder)
    board = TensorBoard(home)
    board.opened(protocol)
    board.closed()
    experiment = Experiment(home, plan, plan.to_toml())
    page = experiment.report()
    assert "when schedule" not in page.read_text()  # the page shows what was found, not the file
    assert any("decay_share" in str(settings) for settings in experiment.winners.columns)
