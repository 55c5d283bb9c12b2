"""The course of a sweep on a simulated cluster: turns, budgets, stages and exact resume."""

import random

import pytest
from simulated import Killed, make_plan, simulate, table

from ire.sweeps.records.records import CONFIRM, FINISHED, RUNNING, SEARCH
from ire.sweeps.search.protocol import Protocol


@pytest.mark.parametrize("slots", [1, 2, 7])
def test_every_trial_ends_and_every_winner_is_confirmed_on_paired_fresh_seeds(tmp_path, slots):
    plan = make_plan()
    protocol = simulate(plan, tmp_path, slots=slots)
    trials = protocol.records.trials.values()
    assert all(trial.status != RUNNING for trial in trials)
    seeds = {}
    for name, arm in protocol.arms.items():
        assert 1 <= len(arm.search) <= plan.trials
        assert [t.stage for t in arm.confirm] == [CONFIRM] * plan.confirm_seeds
        assert all(t.spec.settings == arm.winner.spec.settings for t in arm.confirm)
        assert all(t.status == FINISHED and t.spec.test and not t.spec.rungs for t in arm.confirm)
        assert not any(t.spec.test for t in arm.search)
        seeds[name] = [t.spec.seed for t in arm.confirm]
    assert len({tuple(s) for s in seeds.values()}) == 1, "confirm runs of all methods share their seeds"
    assert not set(seeds["sgd"]) & {t.spec.seed for t in trials if t.stage == SEARCH}, "and they are fresh"


@pytest.mark.parametrize("slots", [1, 3])
def test_every_method_gets_the_same_budget_and_none_exceeds_it(tmp_path, slots):
    plan = make_plan(trials=8)
    protocol = simulate(plan, tmp_path, slots=slots)
    assert plan.budget == 8 * 0.75 * 240
    for arm in protocol.arms.values():
        assert arm.spent <= plan.budget
        full = plan.most_expensive_trial(arm.method)
        assert len(arm.search) == plan.trials or arm.spent > plan.budget - full, "stopped for no reason"
    assert len(protocol.arms["sam-sgd"].search) < len(protocol.arms["sgd"].search)


def test_methods_take_turns(tmp_path):
    protocol = simulate(make_plan(trials=8), tmp_path)
    search = [t for t in protocol.records.trials.values() if t.stage == SEARCH]
    assert [t.name for t in search[:6]] == [
        *("sgd-0000", "sgd-ire-0000", "sam-sgd-0000"),
        *("sgd-0001", "sgd-ire-0001", "sam-sgd-0001"),
    ]


def test_adding_a_method_does_not_change_the_others(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    alone = simulate(make_plan(methods=("sgd",)), tmp_path / "a")
    together = simulate(make_plan(methods=("sam-sgd", "sgd")), tmp_path / "b")
    assert table(alone) == [row for row in table(together) if row[0].startswith("sgd")]


def test_the_seed_of_the_sweep_decides_it(tmp_path):
    rows = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        rows.append(table(simulate(make_plan(seed=seed), tmp_path / name)))
    assert rows[0] == rows[1] != rows[2]


@pytest.mark.parametrize(("seed", "cases"), [(1, 3), pytest.param(0, 25, marks=pytest.mark.slow)])
def test_a_sweep_killed_anywhere_and_resumed_equals_the_undisturbed_one(tmp_path, seed, cases):
    plan = make_plan(trials=5)
    (tmp_path / "whole").mkdir()
    whole = table(simulate(plan, tmp_path / "whole"))
    draws = random.Random(seed)
    for case in range(cases):
        folder = tmp_path / str(case)
        folder.mkdir()
        kills = 0
        while True:
            try:
                protocol = simulate(plan, folder, kill_after=draws.randint(1, 150))
            except Killed:
                kills += 1
                tear(folder, draws)
                continue
            break
        assert kills
        assert table(protocol) == whole


def tear(folder, draws):
    """Sometimes the kill hits a line that is being written."""
    for name in ("results.jsonl", "trials.jsonl"):
        if draws.random() < 0.3 and (folder / name).exists():
            with (folder / name).open("ab") as file:
                file.write(b'{"trial": "sgd-0')


def test_a_kill_between_a_rungs_report_and_its_verdict_prunes_on_resume(tmp_path):
    plan = make_plan(trials=4, methods=("sgd",))
    whole = simulate(plan, tmp_path)
    pruned = next(t for t in whole.records.trials.values() if t.status == "pruned")
    lines = (tmp_path / "trials.jsonl").read_text().splitlines(keepends=True)
    end = next(i for i, line in enumerate(lines) if '"end"' in line and f'"{pruned.name}"' in line)
    (tmp_path / "trials.jsonl").write_text("".join(lines[:end]))
    results = (tmp_path / "results.jsonl").read_text().splitlines(keepends=True)
    last = max(i for i, line in enumerate(results) if f'"{pruned.name}"' in line)
    (tmp_path / "results.jsonl").write_text("".join(results[: last + 1]))
    resumed = Protocol(plan, tmp_path)
    assert resumed.records.trials[pruned.name].status == "pruned"
    assert not resumed.interrupted


@pytest.mark.parametrize("slots", [2, 4])
def test_with_several_slots_no_trial_is_lost_and_none_runs_twice(tmp_path, slots):
    plan = make_plan()
    draws = random.Random(slots)
    while True:
        try:
            protocol = simulate(plan, tmp_path, slots=slots, kill_after=draws.randint(20, 120))
        except Killed:
            continue
        break
    for arm in protocol.arms.values():
        assert [t.number for t in arm.search] == list(range(len(arm.search)))
        assert len(arm.confirm) == plan.confirm_seeds
    starts = [line for line in (tmp_path / "trials.jsonl").read_text().splitlines() if '"start"' in line]
    assert len(starts) == len(protocol.records.trials)


def test_a_method_whose_trials_all_fail_is_not_confirmed_and_stops_nobody(tmp_path):
    plan = make_plan(trials=3, methods=("sgd", "adamw"))
    protocol = simulate(plan, tmp_path, fails=tuple(f"adamw-{i:04d}" for i in range(3)))
    assert protocol.arms["adamw"].winner is None
    assert not protocol.arms["adamw"].confirm
    assert len(protocol.arms["sgd"].confirm) == 2


def test_a_finished_sweep_has_nothing_left_to_run(tmp_path):
    plan = make_plan(trials=2)
    simulate(plan, tmp_path)
    again = Protocol(plan, tmp_path)
    assert again.is_over
    assert again.next_trial() is None
    done, total = again.work()
    assert done == pytest.approx(total, rel=0.25)
