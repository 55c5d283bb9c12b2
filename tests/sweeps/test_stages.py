"""What runs after the search, on a simulated cluster: selection, confirm runs, the baseline curve, the controls."""

import random
from collections import Counter

import pytest
from simulated import Killed, make_plan, simulate, table

from ire.sweeps.plan.plan import RULES, SELECTION_SEEDS
from ire.sweeps.records.records import CONFIRM, CONTROL, CURVE, FINISHED, RUNNING, SEARCH, SELECT
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.search.stages import CONTROL_WORDS, best_baseline, control_contests, later_runs

FULL = {
    "methods": ("sgd", "sgd-ire", "sam-sgd"),
    "candidates": 3,
    "curve": (0.5, 1.4142, 2.0),
    "controls": True,
}


@pytest.mark.parametrize("slots", [1, 5])
def test_every_stage_runs_what_it_should_on_paired_seeds(tmp_path, slots):
    plan = make_plan(**FULL)
    protocol = simulate(plan, tmp_path, slots=slots)
    trials = list(protocol.records.trials.values())
    assert all(trial.status != RUNNING for trial in trials)
    by_stage = {stage: [t for t in trials if t.stage == stage] for stage in (SELECT, CONFIRM, CURVE, CONTROL)}
    for name, arm in protocol.arms.items():
        mine = Counter(t.origin for t in by_stage[SELECT] if t.arm == name)
        wanted = [t.number for t in arm.candidates] if len(arm.candidates) > 1 else []
        assert dict(mine) == dict.fromkeys(wanted, SELECTION_SEEDS)
        assert len(arm.confirm) == plan.confirm_seeds
    seeds = {stage: {t.spec.seed for t in found} for stage, found in by_stage.items()}
    assert len(seeds[CONFIRM]) == plan.confirm_seeds
    assert seeds[CONFIRM] == seeds[CURVE] == seeds[CONTROL], "what is measured is paired"
    searched = {t.spec.seed for t in trials if t.stage == SEARCH}
    assert not seeds[SELECT] & (seeds[CONFIRM] | searched), "what chooses does not measure"
    assert not seeds[CONFIRM] & searched
    for stage, found in by_stage.items():
        assert all(t.spec.test == (stage != SELECT) and not t.spec.rungs for t in found)
        assert all(bool(t.spec.flatness) == (stage in (CONFIRM, CONTROL)) for t in found)


def test_the_winner_is_the_candidate_of_the_lowest_mean_on_the_selection_seeds(tmp_path):
    protocol = simulate(make_plan(**FULL), tmp_path)
    for arm in protocol.arms.values():
        means = {}
        for run in arm.later:
            if run.stage == SELECT and not run.variant:
                means.setdefault(run.origin, []).append(run.val_loss)
        assert arm.winner.number == min(means, default=0, key=lambda origin: sum(means[origin]))
        assert all(run.spec.settings == arm.winner.spec.settings for run in arm.confirm)


def test_the_curve_is_the_best_baselines_with_a_schedule_of_its_own_at_each_horizon(tmp_path):
    plan = make_plan(**FULL)
    protocol = simulate(plan, tmp_path)
    best = best_baseline(protocol.arms.values())
    curve = [t for t in protocol.records.trials.values() if t.stage == CURVE]
    assert {t.arm for t in curve} == {best.method.name}
    assert Counter(t.spec.horizon for t in curve) == {120: 2, 339: 2, 480: 2}
    assert all(t.spec.settings == best.winner.spec.settings for t in curve)
    assert all(t.step == t.spec.horizon for t in curve)
    first = next(i for i, t in enumerate(protocol.records.trials.values()) if t.stage == CURVE)
    before = list(protocol.records.trials.values())[:first]
    assert sum(t.stage == CONFIRM and t.arm in ("sgd", "sam-sgd") for t in before) == 2 * plan.confirm_seeds


def test_the_learning_rate_of_a_point_of_the_curve_is_chosen_on_other_seeds(tmp_path):
    plan = make_plan(methods=("sgd", "sgd-ire"), curve=(2.0,), curve_lr=(0.5, 2.0))
    protocol = simulate(plan, tmp_path)
    arm = protocol.arms["sgd"]
    lr = arm.winner.spec.settings["lr"]
    tried = Counter(t.spec.settings["lr"] / lr for t in arm.later if t.stage == SELECT)
    assert tried == {0.5: SELECTION_SEEDS, 1.0: SELECTION_SEEDS, 2.0: SELECTION_SEEDS}
    curve = [t for t in arm.later if t.stage == CURVE]
    assert len({t.spec.settings["lr"] for t in curve}) == 1
    assert len(curve) == plan.confirm_seeds


def test_the_point_at_the_tasks_own_horizon_is_rescanned_like_all_others(tmp_path):
    """For every method, on selection seeds, so that no method is compared with a baseline that was tuned once more."""
    plan = make_plan(methods=("sgd", "sgd-ire"), curve=(2.0,), curve_lr=(0.5, 2.0), rules=RULES)
    protocol = simulate(plan, tmp_path)
    for arm in protocol.arms.values():
        lr = arm.winner.spec.settings["lr"]
        runs = {}
        for run in arm.later:
            if run.stage == SELECT and run.spec.horizon == plan.space.horizon:
                runs.setdefault(run.spec.settings["lr"] / lr, []).append(run.val_loss)
        assert {factor: len(found) for factor, found in runs.items()} == dict.fromkeys(
            (0.5, 1.0, 2.0), SELECTION_SEEDS
        )
        chosen = min(runs, key=lambda factor: sum(runs[factor]))
        assert {run.spec.settings["lr"] for run in arm.confirm} == {arm.settings["lr"]} == {chosen * lr}


def test_a_control_has_its_own_strength_chosen_among_as_many_as_there_are_candidates(tmp_path):
    protocol = simulate(make_plan(**FULL, rules=RULES), tmp_path)
    arm = protocol.arms["sgd-ire"]
    won, points = arm.settings, protocol.plan.candidates
    for contest in control_contests(arm.plan, arm):
        if contest.name == "published":
            assert len(contest.entries) == 1
            continue
        setting = "lr" if contest.name == "kappa0" else "kappa"
        tried = [entry.settings[setting] / won[setting] for entry in contest.entries]
        assert tried == [1.0, *((2.0, 0.5) if setting == "lr" else (0.25, 0.5))]
        assert len(contest.selecting) == points * SELECTION_SEEDS
        means = [sum(run.val_loss for run in contest.runs(entry, SELECT)) for entry in contest.entries]
        assert contest.chosen is contest.entries[means.index(min(means))]
        assert [run.spec.settings[setting] for run in contest.measured] == [
            contest.chosen.settings[setting]
        ] * protocol.plan.confirm_seeds


def test_controls_change_what_they_say_and_nothing_else(tmp_path):
    protocol = simulate(make_plan(**FULL), tmp_path)
    arm = protocol.arms["sgd-ire"]
    won = arm.winner.spec.settings
    runs = {}
    for run in arm.later:
        if run.stage == CONTROL:
            runs.setdefault(run.variant, []).append(run)
    expected = set(CONTROL_WORDS) - (set() if arm.winner.number else {"published"})
    assert set(runs) == expected
    for name, of_it in runs.items():
        assert [run.number for run in of_it] == [0, 1], name
        spec = of_it[0].spec
        if name == "published":
            assert spec.settings == arm.search[0].spec.settings
        elif name == "kappa0":
            assert (spec.method, spec.settings) == ("sgd-ire", won | {"kappa": 0.0})
        else:
            assert spec.method == f"sgd-ire-{name}"
            assert spec.settings == {k: v for k, v in won.items() if k != "gamma" or name != "all"}
    assert {run.variant for run in protocol.arms["sgd"].later if run.stage == CONTROL} <= {"published"}


@pytest.mark.parametrize(
    "fields",
    [
        {"confirm_seeds": 0, "curve": (2.0,), "controls": True},
        {"methods": ("sgd",), "curve": (2.0,)},
        {"methods": ("sgd-ire",), "curve": (2.0,)},
    ],
)
def test_nothing_runs_that_could_not_be_compared(tmp_path, fields):
    protocol = simulate(make_plan(**fields), tmp_path)
    assert not [t for t in protocol.records.trials.values() if t.stage in (CURVE, CONTROL)]


def test_a_candidate_that_loses_a_run_is_not_chosen(tmp_path):
    plan = make_plan(methods=("sgd",), candidates=2)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    best = simulate(plan, tmp_path / "a").arms["sgd"].winner
    again = simulate(plan, tmp_path / "b", fails=(f"sgd-select-{best.number:04d}-1",))
    assert again.arms["sgd"].winner.number != best.number


def test_killed_anywhere_and_resumed_the_full_protocol_equals_the_undisturbed_one(tmp_path):
    plan = make_plan(methods=("sgd", "sgd-ire"), trials=3, candidates=2, curve=(0.5, 2.0), controls=True)
    (tmp_path / "whole").mkdir()
    whole = table(simulate(plan, tmp_path / "whole"))
    draws = random.Random(1)
    for case in range(6):
        folder = tmp_path / str(case)
        folder.mkdir()
        while True:
            try:
                protocol = simulate(plan, folder, kill_after=draws.randint(50, 700))
            except Killed:
                continue
            break
        assert table(protocol) == whole


def test_curve_and_controls_can_be_added_to_a_finished_sweep(tmp_path):
    plain = simulate(make_plan(methods=("sgd", "sgd-ire")), tmp_path)
    before = table(plain)
    more = simulate(make_plan(methods=("sgd", "sgd-ire"), curve=(2.0,), controls=True), tmp_path)
    assert table(more)[: len(before)] == before
    assert {t.stage for t in list(more.records.trials.values())[len(before) :]} == {CURVE, CONTROL}


def test_a_raised_budget_confirms_the_new_winner_under_names_of_its_own(tmp_path):
    first = simulate(make_plan(methods=("sgd",), trials=2), tmp_path).arms["sgd"]
    old = [run.name for run in first.confirm]
    arm = simulate(make_plan(methods=("sgd",), trials=12), tmp_path).arms["sgd"]
    assert arm.winner.number != first.winner.number
    assert len(arm.confirm) == 2
    assert not {run.name for run in arm.confirm} & set(old)


def test_the_work_that_is_announced_is_the_work_that_is_done(tmp_path):
    plan = make_plan(**FULL)
    protocol = simulate(plan, tmp_path)
    done, total = protocol.work()
    assert done <= total <= 1.3 * done  # budgets that were not used up, and pruning
    announced = sum(
        len(later_runs(plan, arm, is_curve=arm is best_baseline(protocol.arms.values())))
        for arm in protocol.arms.values()
    )
    later = sum(len(arm.later) for arm in protocol.arms.values())
    assert (
        later <= announced <= later + 3 * plan.confirm_seeds
    )  # a published default that won is not run twice
    assert all(t.status == FINISHED for arm in protocol.arms.values() for t in arm.confirm)
    assert Protocol(plan, tmp_path).is_over
