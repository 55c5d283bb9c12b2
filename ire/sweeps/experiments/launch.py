"""Starts or resumes a sweep: checks everything before anything is written, then runs the plan."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from rich.console import Console

from ire.invalid_input import InvalidInput
from ire.sweeps.experiments.experiment import Experiment
from ire.sweeps.experiments.places import place
from ire.sweeps.experiments.planning import planned
from ire.sweeps.experiments.preflight import preflight, preflight_again
from ire.sweeps.experiments.run_plan import run_plan, say
from ire.sweeps.findings.comparison import undecided
from ire.sweeps.findings.contract import broken_before
from ire.sweeps.plan.changes import changed_space, check_identity, extended
from ire.sweeps.plan.keywords import ResumeOptions, SweepOptions
from ire.sweeps.plan.option import takes
from ire.sweeps.plan.options import OPTIONS, RESUMED
from ire.sweeps.plan.plan import Plan, plan_text, trusted_plan
from ire.sweeps.plan.trust import check_trusted, classes_in_plan, outside, remember, task_modules
from ire.sweeps.plan.warm_start import warm_started
from ire.sweeps.records.experiment_home import ExperimentHome
from ire.sweeps.records.open_home import home_at, new_home
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.search.widening import check_limits
from ire.sweeps.watch.console import plain_console
from ire.sweeps.watch.loggers import check_loggers
from trainables.functions.function import IMPORTING
from trainables.functions.in_process import hold, is_of_no_file
from trainables.functions.trial import Trial
from trainables.task import search_for_modules

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@takes({name: option.call_default for name, option in OPTIONS.items()})
def sweep(
    task: str | Callable[[Trial], Any] | None = None,
    *,
    trust: bool = False,
    console: Console | None = None,
    **options: Unpack[SweepOptions],
) -> Experiment:
    """Tune every method with the same budget, confirm the winners on fresh seeds, and report.

    `task` is a name (`ire tasks`), `package.module:Class`, or a training function: itself, or `train.py:train`, or
    `package.module:train`; `scale="tiny"` selects a task's scaled-down twin. A function that is not in a file, such as
    a notebook's, is known only to this process; in another one, pass it to `resume` again.
    `methods` and numbers that are not given come from the task's search space, or from `space`: a TOML file, or the
    same content as a dictionary. `preset` instead repeats an experiment of a paper (`ire presets`), with its task and
    grid.

    After the search, the best `candidates` of each method run again before a winner is chosen. The winners run
    on `confirm_seeds` seeds, and the best baseline runs at the horizons of `curve`, in multiples of the task's
    (True: from 1/2 to 2), also with the learning rate times each of `curve_lr`. With `controls`, IRE's winners also
    run with one change each.

    With `share_prefix`, trials that differ only in IRE's settings train the steps before IRE's boost once.

    With `inline` the trials run in this process, one at a time and without Ray, with equal records.

    The experiment goes to `storage`/`name`, which must not exist; `storage` is a folder, or the URI of an
    object store. `workers` train one trial together, each with `cpus_per_worker` and `gpus_per_worker`. A trial
    is restarted at most `max_failures` times, also after `hang_seconds` without a report. `data_dir` is the folder of
    the data sets on every machine; by default `IRE_DATA` or a folder in the user's cache. `precision` (fp32,
    tf32 or bf16; the preset's otherwise, or fp32), `compile`, `deterministic`, `micro_batches` and `schedule`
    apply to every trial; `external` names the trial, as EXPERIMENT/TRIAL, whose gradient norms external grafting
    uses. Modules named in the folder `warm_start` are imported only if this user has run them before, or with `trust`.

    Raises `InvalidInput` before anything is started or written. After an interrupt the returned experiment is
    incomplete; if the sweep could not continue, `broken_off` says why. `resume` continues it.
    """
    if IMPORTING:
        raise InvalidInput(
            f'{IMPORTING[-1]} starts a sweep when it is imported: put the call below `if __name__ == "__main__":`'
        )
    console = console or plain_console()
    given: dict[str, Any] = dict(options)
    plan = planned(task, given)
    check_limits(plan)
    for clause in broken_before(plan):
        console.print(
            f"warning: this comparison will be reported as not comparable: {clause.text}",
            soft_wrap=True,
            highlight=False,
        )
    _say_if_controls_stay_untuned(plan, console)
    check_loggers(given["loggers"])
    home = _new_home(given["storage"], plan.name)
    what = (
        "each arm of {} for a few steps" if plan.space.arms else "the data of {} and a model with each method"
    )
    say(console, f"checking {what.format(plan.task)} ...")
    where = place(inline=given["inline"], address=given["address"])
    if given["gpus_per_worker"] is None:
        plan = replace(plan, gpus_per_worker=where.gpus_by_default())
    where.check(plan)
    plan = preflight(plan, console, has_other_data=where.has_other_data)
    if plan.warm_start is not None:
        warm = warm_started(plan, trust=trust)
        plan = warm.plan
        say(console, warm.words)
    for line in dict.fromkeys(plan.space.searched_by_default(plan.method(name)) for name in plan.methods):
        if line:
            console.print(line, soft_wrap=True, highlight=False)
    remember(_modules(plan), plan.import_path)
    return run_plan(plan, home, None, changed=True, where=where, console=console, trackers=given["loggers"])


@takes({name: option.resume_default for name, option in RESUMED.items()})
def resume(
    folder: str | Path,
    function: Callable[[Trial], Any] | None = None,
    *,
    trust: bool = False,
    console: Console | None = None,
    **options: Unpack[ResumeOptions],
) -> Experiment:
    """Continue a sweep from its records; for a finished one, only write the report again.

    `trials` raises the budget of every method, `methods` adds methods with the same budget, and
    `confirm_seeds`, `curve` (more horizons, or True for the default ones) and `controls` add runs after the
    search. `folder` may be the URI of an object store. `function` is the training function of the sweep if it is not in
    a file and another process started the sweep. A task or method of a module that this user has not run before is
    imported only with `trust`, which is remembered. Raises `InvalidInput`, before anything is started or written, for a
    change that would make old and new trials incomparable.
    """
    changes: dict[str, Any] = dict(options)
    trackers = changes.pop("loggers") or ()
    check_loggers(trackers)
    home, where = home_at(folder), place(inline=changes.pop("inline"), address=changes.pop("address"))
    with home.locked():
        home.open()  # again: another process may have written until now
        text, console = plan_text(home.folder), console or plain_console()
        before = trusted_plan(text, home.folder, trust=trust)
        source = f"{home.location}/sweep.toml"
        if not trust:
            check_trusted(task_modules(before.task), before.import_path, source=source)
        if task_modules(before.task) or outside(_modules(before), before.import_path):
            search_for_modules(before.import_path)
        else:  # else a package that is looked for in vain could be found there
            before = replace(before, import_path=())
        if function is not None:
            if not is_of_no_file(before.task):
                raise InvalidInput(f"{source}: {before.task} is found by its name; leave the function out")
            hold(before.task, function)
        if (changed := changed_space(before)) is not None:
            say(
                console,
                f"{changed} changed since the sweep began; it keeps the space in {source}, a new one reads it",
            )
        plan = extended(before, **changes)
        check_limits(plan)
        preflight_again(plan, has_other_data=where.has_other_data)
        protocol = Protocol(
            plan,
            home.folder,
            publish=home.publish_records,
            undecided=undecided,
            check=lambda records: check_identity(plan, records, source=source),
        )
        if not before.controls:
            _say_if_controls_stay_untuned(plan, console)
        for line in protocol.records.repaired:
            console.print(line, style="bold yellow", soft_wrap=True, highlight=False)
        remember(_modules(plan), plan.import_path)
        return run_plan(
            plan,
            home,
            protocol,
            text=text,
            changed=plan != before,
            where=where,
            console=console,
            trackers=trackers,
        )


def _say_if_controls_stay_untuned(plan: Plan, console: Console) -> None:
    """Controls are tuned as far as the last step of IRE's own tuning, which one candidate does not have."""
    if (
        plan.controls
        and plan.candidates == 1
        and any(method.ire for method in map(plan.method, plan.methods))
    ):
        say(
            console,
            "note: with one candidate a method, the controls are not tuned, so the report will say nothing about the "
            "curvature; --candidates 2 tunes them",
        )


def _modules(plan: Plan) -> list[str]:
    """The modules from outside the package whose code the sweep runs."""
    return [*task_modules(plan.task), *classes_in_plan(plan.to_toml())[0]]


def _new_home(storage: str | Path, name: str) -> ExperimentHome:
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"--name {name!r}: must be 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"
        )
    return new_home(storage, name)
