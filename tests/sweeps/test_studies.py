"""A sweep of several studies: whole searches with seeds and data splits of their own, in one experiment."""

import pytest
import torch
from simulated import Killed, make_plan, simulate, table

from ire import open_experiment
from ire.invalid_input import InvalidInput
from ire.sweeps.plan.changes import extended
from ire.sweeps.plan.plan import RULES
from ire.sweeps.search.protocol import Protocol
from trainables.task import load_task


def run(plan, folder, **options):
    folder.mkdir(exist_ok=True)
    return simulate(plan, folder, **options)


def plan_of(studies: int, **fields):
    return make_plan(
        **{"methods": ("sgd", "sgd-ire"), "trials": 3, "curve": (2.0,), "studies": studies, "rules": RULES}
        | fields
    )


def test_the_first_study_is_the_sweep_of_one_study(tmp_path):
    one, three = run(plan_of(1), tmp_path / "one"), run(plan_of(3), tmp_path / "three")
    assert [row for row in table(three) if row[6].study == 0] == table(one)


def test_studies_share_no_seed_and_each_has_its_whole_course(tmp_path):
    trials = run(plan_of(3), tmp_path).records.trials.values()
    seeds = [{t.spec.seed for t in trials if t.study == study} for study in range(3)]
    assert not seeds[0] & seeds[1] and not seeds[0] & seeds[2] and not seeds[1] & seeds[2]
    stages = [sorted({t.stage for t in trials if t.study == study}) for study in range(3)]
    assert stages == [["confirm", "curve", "search", "timing"]] * 3


@pytest.mark.parametrize("kill_after", [3, 40, 95])
def test_a_killed_sweep_of_studies_resumes_as_if_undisturbed(tmp_path, kill_after):
    whole = run(plan_of(2), tmp_path / "whole")
    with pytest.raises(Killed):
        run(plan_of(2), tmp_path / "killed", kill_after=kill_after)
    assert table(run(plan_of(2), tmp_path / "killed")) == table(whole)


def test_a_finished_sweep_takes_further_studies(tmp_path):
    before = table(run(plan_of(1), tmp_path))
    assert Protocol(plan_of(1), tmp_path).is_over
    after = table(run(plan_of(2), tmp_path))
    assert after[: len(before)] == before and {row[6].study for row in after[len(before) :]} == {1}


def test_a_cheaper_baseline_that_ends_higher_has_a_curve_too(tmp_path):
    plan = plan_of(1, methods=("sgd", "sam-sgd", "sgd-ire"))
    protocol = run(plan, tmp_path)
    arms = protocol.studies[0].arms
    curves = {t.arm for t in protocol.records.trials.values() if t.stage == "curve"}
    expensive_is_lower = arms["sam-sgd"].mean_cost < arms["sgd"].mean_cost
    assert curves == ({"sgd", "sam-sgd"} if expensive_is_lower else {"sgd"})


@pytest.mark.parametrize("name", ["digits", "stdlib-lm"])
def test_a_study_splits_the_training_data_anew_and_keeps_the_test_data(name):
    task = load_task(name)
    other, again = task.in_study(1), task.in_study(1)
    assert other is again and task.in_study(0) is task and other.in_study(1) is other

    def flat(splits, split):
        part = splits[split]
        return part[0].flatten(1) if isinstance(part, tuple) else part

    assert torch.equal(flat(task.splits, "test"), flat(other.splits, "test"))
    mine, theirs = flat(task.splits, "validation"), flat(other.splits, "validation")
    assert mine.shape != theirs.shape or not torch.equal(mine, theirs)


def test_studies_are_added_until_the_verdict_is_clear_or_the_limit_is_reached(tmp_path):
    plan = plan_of(3, until_decided=5, trials=2, confirm_seeds=1)
    asked = []

    def until(count):
        def undecided(plan, records):
            asked.append(1 + max(trial.study for trial in records.trials.values()))
            return asked[-1] < count

        return undecided

    for name, count, studies in (("four", 4, 4), ("never", 99, 5)):
        asked.clear()
        (tmp_path / name).mkdir()
        protocol = simulate(plan, tmp_path / name, undecided=until(count))
        assert len(protocol.studies) == studies
        assert sorted(set(asked)) == list(range(3, min(count, 4) + 1))
        again = Protocol(plan, tmp_path / name, undecided=until(count))
        assert again.is_over and len(again.studies) == studies


def test_looking_again_and_again_is_paid_for():
    assert plan_of(3).looks == 1
    assert plan_of(3, until_decided=7).looks == 5


def test_a_study_that_still_runs_does_not_hide_what_the_others_found(tmp_path):
    plan = plan_of(3)
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    trials = run(plan_of(1), tmp_path / "one").records.trials.values()
    events = sum(1 + len(trial.reports) for trial in trials if trial.stage != "timing")
    with pytest.raises(Killed):
        simulate(plan, tmp_path, kill_after=events + 5)
    found = open_experiment(tmp_path).comparison
    assert found.studies == 1 and not found.is_complete
    assert all(row.runs for row in found.rows)


def test_until_decided_may_not_be_below_the_studies_nor_be_lowered():
    with pytest.raises(InvalidInput, match=r"--until-decided 4: must be at least --studies \(5\)"):
        plan_of(5, until_decided=4).check()
    plan = plan_of(3, until_decided=8)
    with pytest.raises(InvalidInput, match="--until-decided 5: the sweep already has 8"):
        extended(plan, until_decided=5)
    assert extended(plan_of(3), until_decided=5).looks == 3
