"""Verdicts of whole sweeps whose final losses and times are written by hand into simulated records."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from simulated import make_plan, reports_of, simulate
from small_space import space_with

from ire.sweeps.findings.comparison import compare
from ire.sweeps.findings.yardstick import TEST, VALIDATION
from ire.sweeps.plan.plan import RULES, Plan
from ire.sweeps.records.experiment_home import FolderHome
from ire.sweeps.records.records import CONFIRM, CONTROL, CURVE, DIVERGED, FAILED, PRUNED, SEARCH, TIMING
from ire.sweeps.report.sentences.further import further_findings
from ire.sweeps.report.sentences.headline import headline
from ire.sweeps.report.tables.verdict import result_table

METHODS = ("sgd", "sam-sgd", "sgd-ire")
SPACE = {
    "horizon": 48,
    "search": {"rungs": []},
    # of what is searched only learning rates, so that no winner is at an end by chance
    "shared": {"weight_decay": 5e-4, "warmup_fraction": 0.1},
    "ire": {"kappa": 2.0, "gamma": 0.8, "start_fraction": 0.5},
    "sam": {"rho": 0.05},
}
SPREAD = (-0.01, 0.0, 0.01)
"""By study: how far each method ends from where it would."""
STEP_SECONDS = {"sgd": 0.01, "sam-sgd": 0.02, "sgd-ire": 0.01}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    plan = make_plan(
        methods=METHODS,
        trials=6,
        confirm_seeds=2,
        curve=(0.5, 2.0),
        studies=3,
        rules=RULES,
        space=space_with(SPACE),
    )
    return plan, simulate(plan, tmp_path_factory.mktemp("swept")).records.trials


@pytest.fixture
def sweep(swept):
    """The plan and a copy of its records: see `judged`."""
    plan, trials = swept
    return plan, SimpleNamespace(trials=copy.deepcopy(trials), runs=[])


def judged(plan: Plan, records, *, speeds=None, step_seconds=STEP_SECONDS):
    """The comparison if a method that is `speeds` times as fast per step as SGD ends at a loss of 3 - log2(speed h).

    At h times the horizon T, so that the curve of SGD runs through 4, 3 and 2 at T/2, T and 2 T.
    """
    speeds = {"sgd": 1.0, "sam-sgd": 1.0, "sgd-ire": 1.0} | (speeds or {})
    for run in records.trials.values():
        if run.stage in (CONFIRM, CURVE, CONTROL):
            noise = SPREAD[(run.study + METHODS.index(run.arm)) % len(SPREAD)] if run.stage == CONFIRM else 0
            loss = 3 - math.log2(speeds[run.arm] * run.spec.horizon / plan.space.horizon) + noise
            run.reports[-1]["test_loss"] = loss
        if run.stage == TIMING:
            wobble = 1 + 0.001 * run.number + 0.003 * (run.study + METHODS.index(run.arm))
            run.reports[-1]["seconds"] = run.step * step_seconds[run.arm] * wobble
    return compare(plan, records)


def told_by(plan, records, comparison):
    """Headline and findings in one text."""
    results = SimpleNamespace(plan=plan, records=records, comparison=comparison, home=FolderHome(Path("x")))
    return "\n".join([headline(results), *further_findings(results)])


def verdicts(comparison, method="sgd-ire"):
    return comparison.row(method).verdicts


def test_a_method_that_is_twice_as_fast_is_faster_than_every_baseline(sweep):
    comparison = judged(*sweep, speeds={"sgd-ire": 1.8})
    assert (comparison.judged_on, comparison.clock, comparison.studies) == (TEST, "wall", 3)
    assert verdicts(comparison)["step"] == verdicts(comparison)["wall"] == "faster"
    speed_up = comparison.row("sgd-ire").over.speed_ups["step"]["sgd"]
    assert speed_up.ratio.value == pytest.approx(1.8, rel=0.05)
    assert speed_up.units == 3
    assert "in wall-clock, over 3 studies, sgd-ire is faster than every tuned baseline" in told_by(
        *sweep, comparison
    )


def test_what_ends_no_lower_than_any_one_baseline_is_not_faster(sweep):
    comparison = judged(*sweep, speeds={"sgd-ire": 1.8, "sam-sgd": 1.8})
    assert verdicts(comparison)["step"] == "not shown"
    assert comparison.row("sgd-ire").against["step"] == "sam-sgd"
    assert verdicts(comparison)["wall"] == "faster", "a step of SAM takes twice as long"


def test_slower_on_another_clock_is_told(sweep):
    comparison = judged(*sweep, speeds={"sgd-ire": 0.6}, step_seconds=STEP_SECONDS | {"sgd-ire": 0.006})
    assert verdicts(comparison)["step"] == "slower"
    assert verdicts(comparison)["wall"] == "not shown"
    told = told_by(*sweep, comparison)
    assert "in wall-clock, over 3 studies, no method is shown to be faster" in told
    assert "In steps, sgd-ire is slower: 0.6" in told


@pytest.mark.parametrize("clock", ["step", "gradient_evaluations"])
def test_the_clock_that_was_chosen_is_that_of_the_headline(sweep, clock):
    plan, records = replace(sweep[0], clock=clock), sweep[1]
    comparison = judged(plan, records)
    assert (comparison.clock, comparison.clock_reason) == (clock, "")
    heads = result_table(SimpleNamespace(plan=plan, records=records, comparison=comparison)).heads
    assert heads[2] == f"{clock.replace('_', ' ').replace('step', 'steps')} speed-up"


@pytest.mark.parametrize(("apart", "clock"), [(0.09, "wall"), (0.2, "gradient_evaluations")])
def test_wall_clock_is_not_the_headline_where_the_machine_was_not_quiet(sweep, apart, clock):
    plan, records = sweep
    judged(plan, records)
    for run in records.trials.values():
        if run.stage == TIMING:
            run.reports[-1]["seconds"] = run.step * (1 + apart * (run.number % 2))
    comparison = compare(plan, records)
    assert comparison.clock == clock
    assert comparison.timing_spread == pytest.approx(apart, rel=0.2)
    assert ("not quiet" in told_by(plan, records, comparison)) == (clock != "wall")


@pytest.mark.parametrize("studies", [1, 2])
def test_fewer_than_three_studies_speak_of_configurations(sweep, studies):
    plan, records = replace(sweep[0], studies=studies), sweep[1]
    records.trials = {name: run for name, run in records.trials.items() if run.study < studies}
    comparison = judged(plan, records, speeds={"sgd-ire": 1.8})
    assert all(not row.judgements for row in comparison.rows)
    results = SimpleNamespace(plan=plan, records=records, comparison=comparison)
    assert "This is about configurations, not methods" in headline(results)
    assert {line[1] for line in result_table(results).lines} <= {
        "-",
        "ends lower",
        "ends higher",
        "not shown",
    }
    assert "`ire resume x --studies 3`" in told_by(plan, records, comparison)


@pytest.mark.parametrize(("at_the_end", "verdict"), [(1, "faster"), (2, "not finished")])
def test_winners_at_an_end_of_their_range_in_most_studies_leave_it_unfinished(sweep, at_the_end, verdict):
    plan, records = sweep
    judged(plan, records, speeds={"sgd-ire": 1.8})
    for row in compare(plan, records).rows:
        if row.method == "sgd-ire":
            for winner in row.winners[:at_the_end]:
                trial = records.trials[winner.trial.name]
                trial.spec = replace(trial.spec, settings=trial.spec.settings | {"lr": 0.99})
    comparison = compare(plan, records)
    assert verdicts(comparison)["step"] == verdict
    assert ("winners are at the end of a range" in told_by(plan, records, comparison)) == (at_the_end > 1)


def test_an_unfinished_baseline_leaves_unfinished_what_is_faster_than_it(sweep):
    plan, records = sweep
    comparison = judged(plan, records, speeds={"sgd-ire": 1.8, "sam-sgd": 0.8})
    for winner in comparison.row("sam-sgd").winners:
        trial = records.trials[winner.trial.name]
        trial.spec = replace(trial.spec, settings=trial.spec.settings | {"lr": 0.99})
    comparison = compare(plan, records)
    assert comparison.row("sgd-ire").against["step"] == "sgd"
    assert verdicts(comparison)["step"] == "not finished"


def test_a_search_of_which_too_few_trials_ran_to_the_end_leaves_it_unfinished(sweep):
    plan, records = sweep
    comparison = judged(plan, records, speeds={"sgd-ire": 1.8})
    winners = {winner.trial.name for winner in comparison.row("sgd-ire").winners}
    for run in records.trials.values():
        if run.stage == SEARCH and run.arm == "sgd-ire" and run.name not in winners:
            run.status = PRUNED
    comparison = compare(plan, records)
    assert verdicts(comparison)["step"] == "not finished"
    assert "ran to the end within the budget. Raise --trials." in told_by(plan, records, comparison)


def test_a_lost_confirm_run_in_any_study_makes_no_verdict(sweep):
    plan, records = sweep
    judged(plan, records, speeds={"sgd-ire": 1.8})
    run = next(r for r in records.trials.values() if (r.arm, r.stage, r.study) == ("sgd-ire", CONFIRM, 2))
    run.status = DIVERGED
    comparison = compare(plan, records)
    assert verdicts(comparison) == {}
    assert comparison.row("sgd-ire").speed_ups, "what the other runs say is shown"
    assert "diverged or failed: sgd-ire 1." in told_by(plan, records, comparison)


def test_a_test_loss_that_is_not_finite_is_missing_and_moves_nobody_to_the_validation_split(sweep):
    plan, records = sweep
    judged(plan, records, speeds={"sgd-ire": 1.8, "sam-sgd": 0.5})
    run = next(r for r in records.trials.values() if (r.arm, r.stage, r.study) == ("sgd-ire", CONFIRM, 1))
    run.reports[-1]["test_loss"] = None
    comparison = compare(plan, records)
    assert comparison.judged_on == TEST
    assert verdicts(comparison) == {}
    assert verdicts(comparison, "sam-sgd")["step"] == "slower"
    assert comparison.row("sgd-ire").against_best.value == pytest.approx(-math.log2(1.8), abs=0.02)
    told = told_by(plan, records, comparison)
    assert "No verdict on methods of which confirm runs have no finite test loss: sgd-ire 1." in told


def test_the_runs_that_are_left_do_not_make_a_configuration_end_lower(tmp_path):
    plan = make_plan(methods=METHODS, confirm_seeds=5, curve=(0.5,), rules=RULES, space=space_with(SPACE))
    records = SimpleNamespace(trials=simulate(plan, tmp_path).records.trials, runs=[])

    def told(speed, *lost):
        own = without(records, lambda t: (t.arm, t.stage) in [(m, CONFIRM) for m in lost] and t.number == 0)
        comparison = judged(plan, own, speeds={"sgd-ire": speed, "sam-sgd": 0.9})
        results = SimpleNamespace(plan=plan, records=own, comparison=comparison)
        return headline(results).split(".")[0], next(
            line[1] for line in result_table(results).lines if line[0] == "sgd-ire"
        )

    baselines = "sgd", "sam-sgd"
    assert told(1.8) == (
        "digits: the configurations found for sgd-ire end lower than the one found for sgd",
        "ends lower",
    )
    assert told(1.8, "sgd-ire")[1] == "not shown"
    assert told(0.5, "sgd-ire")[1] == "ends higher", "in spite of it"
    assert told(0.5, *baselines)[1] == "not shown"
    assert told(1.8, *baselines)[1] == "ends lower", "in spite of it"


def test_a_baseline_that_ends_lower_at_a_shorter_horizon_keeps_a_method_from_being_faster(sweep):
    plan, records = sweep
    judged(plan, records, speeds={"sgd-ire": 1.8})
    for run in records.trials.values():
        if (run.stage, run.spec.horizon) == (CURVE, 24):
            run.reports[-1]["test_loss"] = 2.0  # SGD ends at 3 after 48 steps, sgd-ire at 2.15
    comparison = compare(plan, records)
    assert verdicts(comparison)["step"] == "not shown"
    assert "sgd-ire ends better than sgd after as many steps, but sgd ends as well after fewer" in told_by(
        plan, records, comparison
    )


def test_without_curves_the_headline_says_that_they_are_missing(sweep):
    plan, records = replace(sweep[0], curve=()), sweep[1]
    records.trials = {name: run for name, run in records.trials.items() if run.stage != CURVE}
    comparison = judged(plan, records)
    assert "no verdict yet: confirm runs or the baselines' curves are missing" in told_by(
        plan, records, comparison
    )


def test_beside_what_is_not_shown_stands_what_would_have_been(sweep):
    comparison = judged(*sweep)
    power = comparison.row("sgd-ire").powers[comparison.clock]
    assert 1.05 < power.least_detectable < 1.5
    assert f"a true speed-up of {power.least_detectable:.2f} or more would have been found" in told_by(
        *sweep, comparison
    )


def test_what_was_changed_after_the_start_is_told(sweep):
    plan, records = sweep
    records.runs = [{"registered": replace(plan, studies=2).registered}]
    assert "Changed after the sweep had started: studies 2 -> 3." in told_by(plan, records, judged(*sweep))
    records.runs = [{"registered": plan.registered}]
    assert "Changed after" not in told_by(plan, records, judged(*sweep))


def test_a_sweep_of_before_there_were_studies_is_judged_by_validation_and_asks_for_no_quiet_pass(tmp_path):
    text = "\n".join(
        line
        for line in make_plan(methods=("sgd", "sgd-ire"), trials=3, curve=(2.0,)).to_toml().splitlines()
        if not line.startswith(("rules", "studies", "clock"))
    )
    plan = Plan.from_toml(text, source="an old sweep.toml")
    records = simulate(plan, tmp_path).records
    comparison = compare(plan, records)
    assert (plan.rules, plan.studies, comparison.judged_on) == (1, 1, VALIDATION)
    assert comparison.is_complete
    assert comparison.clock == "wall"
    assert not [run for run in records.trials.values() if run.stage == TIMING]


def without(records, loses, status=FAILED):
    """The records of a sweep in which some runs were lost."""
    changed = {name: copy.copy(trial) for name, trial in records.trials.items()}
    for trial in changed.values():
        if loses(trial):
            trial.status = status
    return SimpleNamespace(trials=changed, runs=records.runs)


@pytest.mark.parametrize("count", [1, 2], ids=["one of its runs", "all of its runs"])
def test_a_faster_method_must_beat_a_baseline_that_lost_confirm_runs(sweep, count):
    plan, records = sweep
    lost = without(
        records, lambda t: (t.arm, t.stage, t.study) == ("sam-sgd", CONFIRM, 0) and t.number < count
    )
    comparison = judged(plan, lost, speeds={"sgd-ire": 1.8, "sam-sgd": 4.0})
    assert verdicts(comparison)["step"] == "not shown"
    assert comparison.row("sgd-ire").against["step"] == "sam-sgd"
    slow = judged(plan, lost, speeds={"sgd-ire": 1.8, "sam-sgd": 0.5})
    assert verdicts(slow)["step"] == ("faster" if count == 1 else "not shown")


def test_a_baseline_all_of_whose_runs_in_a_study_diverged_is_beaten(sweep):
    plan, records = sweep
    lost = without(records, lambda t: (t.arm, t.stage, t.study) == ("sam-sgd", CONFIRM, 0), DIVERGED)
    assert verdicts(judged(plan, lost, speeds={"sgd-ire": 1.8}))["step"] == "faster"


def test_where_a_curve_has_lost_a_horizon_no_method_is_faster_and_it_is_said(tmp_path, sweep):
    plan, _ = sweep

    def sam_ends_lower(trial):
        gain = 0.03 if trial.method.startswith("sam") else 0.0
        return ({**r, "val_loss": r["val_loss"] and r["val_loss"] - gain} for r in reports_of(trial))

    trials = simulate(plan, tmp_path, reports=sam_ends_lower).records.trials
    records = SimpleNamespace(trials=trials, runs=[])
    speeds = {"sgd-ire": 1.8, "sam-sgd": 4.0}
    assert verdicts(judged(plan, records, speeds=speeds))["step"] == "slower"
    lost = without(records, lambda t: (t.arm, t.stage, t.study, t.spec.horizon) == ("sam-sgd", CURVE, 0, 96))
    comparison = judged(plan, lost, speeds=speeds)
    assert verdicts(comparison)["step"] == "not shown"
    assert comparison.row("sgd-ire").powers["step"].least_detectable == math.inf
    assert "Too many runs of sam-sgd are lost for a comparison" in told_by(plan, lost, comparison)


def test_a_method_that_counts_no_gradients_has_no_speed_up_in_them(sweep):
    plan, records = sweep
    for trial in records.trials.values():
        if (trial.arm, trial.stage) == ("sgd-ire", CONFIRM):
            for report in trial.reports:
                report["gradient_evaluations"] = 0
    comparison = judged(plan, records, speeds={"sgd-ire": 1.8})
    assert set(comparison.row("sgd-ire").speed_ups) == {"step", "wall"}
    assert verdicts(comparison)["step"] == "faster"


def test_turns_that_took_no_time_measure_no_wall_clock(sweep):
    plan, records = sweep
    comparison = judged(plan, records, step_seconds=dict.fromkeys(METHODS, 0.0))
    assert "wall" not in comparison.row("sgd-ire").speed_ups
    assert comparison.clock == "gradient_evaluations"
