"""The quiet pass: the winners take turns, one at a time, when nothing else is left to run."""

import re
from io import StringIO

import pytest
from rich.console import Console
from simulated import Killed, make_plan, reports_of, simulate, table
from small_space import SHORT, space_with

from ire.sweeps.plan.plan import RULES
from ire.sweeps.records.records import CONFIRM, TIMING
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.search.timing import ROUNDS, STEPS, optimizer_share, step_seconds
from ire.sweeps.watch.progress import Progress


def plan_of(**fields):
    defaults = {"methods": ("sgd", "adamw"), "trials": 2, "confirm_seeds": 1, "studies": 2, "rules": RULES}
    return make_plan(**defaults | {"space": space_with(SHORT)} | fields)


def shown(protocol):
    """The line of its progress."""
    file = StringIO()
    progress = Progress(Console(file=file, width=400), in_process=True)
    progress.opened(protocol)
    progress.closed()
    return file.getvalue()


def turns(protocol):
    return [run for run in protocol.records.trials.values() if run.stage == TIMING]


def test_the_winners_of_all_studies_take_turns_at_the_end(tmp_path):
    protocol = simulate(plan_of(), tmp_path, slots=3)
    trials = list(protocol.records.trials.values())
    assert trials[-len(turns(protocol)) :] == turns(protocol)
    winners = [("sgd", 0), ("adamw", 0), ("sgd", 1), ("adamw", 1)]
    assert [(run.arm, run.study) for run in turns(protocol)] == winners * ROUNDS
    for run in turns(protocol):
        assert run.spec.settings == protocol.arm(run).settings
        assert run.spec.timing and run.step == run.spec.horizon == min(STEPS, 48)


@pytest.mark.parametrize(
    "fields",
    [{}, {"curve": (0.5, 2.0), "curve_lr": (0.5, 2.0)}, {"curve": (0.5, 2.0), "trials": 6}],
    ids=["none", "a curve", "a raised budget"],
)
def test_turns_are_not_counted_among_the_trials_that_are_done(tmp_path, fields):
    simulate(plan_of(), tmp_path)
    protocol = simulate(plan_of(**fields), tmp_path)
    done, at_most = map(int, re.search(r"(\d+) trials done of at most (\d+)", shown(protocol)).groups())
    assert done == len(protocol.records.trials) - len(turns(protocol)) <= at_most


def test_a_turn_that_runs_is_none_of_the_trials_that_may_come(tmp_path, monkeypatch):
    simulate(plan_of(), tmp_path)
    protocol = simulate(plan_of(trials=6), tmp_path)
    monkeypatch.setattr(Protocol, "running", turns(protocol)[-1:])
    done, at_most = re.search(r"(\d+) trials done of at most (\d+), 1 running", shown(protocol)).groups()
    assert done == at_most


def test_turns_run_one_at_a_time_however_many_slots_there_are(tmp_path):
    protocol = Protocol(plan_of(studies=1), tmp_path)
    while (trial := protocol.next_trial()).stage != TIMING:
        protocol.report(trial, report_of(trial))
    for number in range(1, 2 * ROUNDS):
        assert protocol.next_trial() is None, "another one waits for it"
        assert re.search(rf"quiet pass: .* 1 running, turn {number} of {2 * ROUNDS};", shown(protocol))
        protocol.report(trial, report_of(trial))
        trial = protocol.next_trial()
        assert trial.stage == TIMING
    protocol.report(trial, report_of(trial))
    assert protocol.is_over


def report_of(trial):
    loss = None if trial.spec.timing else 1.0
    step = trial.spec.horizon
    return {"step": step, "gradient_evaluations": step, "seconds": 1.0, "val_loss": loss, "diverged": False}


def test_a_kill_in_the_middle_of_the_pass_resumes_where_it_was(tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = simulate(plan_of(), tmp_path / "whole")
    events = sum(1 + len(run.reports) for run in whole.records.trials.values())
    with pytest.raises(Killed):
        simulate(plan_of(), tmp_path / "killed", kill_after=events - 2 * ROUNDS)
    before = turns(Protocol(plan_of(), tmp_path / "killed"))
    assert 0 < len(before) < len(turns(whole))
    assert table(simulate(plan_of(), tmp_path / "killed")) == table(whole)


def test_the_first_turn_of_a_winner_warms_up_and_is_not_counted(tmp_path):
    protocol = simulate(plan_of(studies=1), tmp_path)
    for run in turns(protocol):
        run.reports[-1]["seconds"] = run.step * (9.0 if run.number == 0 else run.number)
    assert step_seconds(protocol.arms["sgd"]) == [1.0, 2.0, 3.0, 4.0]


def test_a_winner_that_a_raised_budget_found_has_turns_of_its_own(tmp_path):
    first = simulate(plan_of(studies=1, trials=2), tmp_path)
    winner = first.arms["sgd"].winner.number
    more = simulate(plan_of(studies=1, trials=12), tmp_path)
    assert more.arms["sgd"].winner.number != winner
    for run in turns(more):
        run.reports[-1]["seconds"] = run.step * (7.0 if run.origin == winner and run.arm == "sgd" else 1.0)
    assert step_seconds(more.arms["sgd"]) == [1.0] * (ROUNDS - 1)


@pytest.mark.parametrize("fields", [{"rules": 1}, {"confirm_seeds": 0}, {"methods": ("sgd",)}])
def test_where_nothing_is_compared_by_it_nothing_is_timed(tmp_path, fields):
    protocol = simulate(plan_of(studies=1, **fields), tmp_path)
    assert not turns(protocol)
    assert any(run.stage == CONFIRM for run in protocol.records.trials.values()) == (
        "confirm_seeds" not in fields
    )


def test_all_winners_of_a_study_take_turns_again_with_a_method_that_came_later(tmp_path):
    first = simulate(plan_of(studies=1), tmp_path)
    assert len(turns(first)) == 2 * ROUNDS
    more = simulate(plan_of(studies=1, methods=("sgd", "adamw", "sgd-ire")), tmp_path)
    later = turns(more)[2 * ROUNDS :]
    assert [run.arm for run in later] == ["sgd", "adamw", "sgd-ire"] * ROUNDS
    for run in turns(more):
        run.reports[-1]["seconds"] = run.step * (3.0 if run in later else 1.0)
    assert {name: set(step_seconds(arm)) for name, arm in more.arms.items()} == {
        name: {3.0} for name in ("sgd", "adamw", "sgd-ire")
    }


def test_studies_that_are_added_do_not_time_the_others_again(tmp_path):
    simulate(plan_of(studies=1), tmp_path)
    more = simulate(plan_of(studies=2), tmp_path)
    assert [run.study for run in turns(more)] == [0] * (2 * ROUNDS) + [1] * (2 * ROUNDS)


def test_a_pass_that_was_killed_is_gone_on_with_and_not_begun_anew(tmp_path):
    plan = plan_of(studies=1)
    whole = simulate(plan, tmp_path)
    events = sum(1 + len(run.reports) for run in whole.records.trials.values())
    for left in range(1, 4 * ROUNDS, 3):
        folder = tmp_path / f"{left}"
        folder.mkdir()
        with pytest.raises(Killed):
            simulate(plan, folder, kill_after=events - left)
        assert len(turns(simulate(plan, folder))) == 2 * ROUNDS


def test_the_optimizer_s_share_of_a_step_is_a_column_where_it_was_measured(tmp_path):
    def timed(trial):
        for report in reports_of(trial):
            yield report | ({"optimizer_seconds": 0.001} if trial.spec.timing and trial.arm == "sgd" else {})

    protocol = simulate(plan_of(studies=1), tmp_path, reports=timed)
    assert optimizer_share(protocol.arms["sgd"]) == pytest.approx(
        0.1
    )  # steps of simulated trials take 0.01 s
    assert optimizer_share(protocol.arms["adamw"]) is None
