"""Start or resume a sweep: check everything, connect to Ray, run the protocol, report."""

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Unpack

from rich.console import Console

from ire.invalid_input import InvalidInput
from ire.methods.method import named, parse_method
from ire.storage.credentials import without_credentials
from ire.storage.storage import is_uri
from ire.sweeps.experiments.experiment import Experiment
from ire.sweeps.experiments.places import Place, place
from ire.sweeps.experiments.preflight import (
    check_same_data,
    needs_probe,
    on_data,
    parameter_groups,
    preflight,
    preflight_again,
    with_another_probe,
    with_probe,
)
from ire.sweeps.findings.comparison import undecided
from ire.sweeps.findings.contract import broken_before
from ire.sweeps.plan.changes import check_identity, extended, identity
from ire.sweeps.plan.keywords import ResumeOptions, SweepOptions
from ire.sweeps.plan.option import takes
from ire.sweeps.plan.options import OPTIONS, PLANNED, RESUMED
from ire.sweeps.plan.plan import RULES, Plan, read_plan
from ire.sweeps.plan.preset import load_preset
from ire.sweeps.plan.provenance import differences, machine, versions
from ire.sweeps.plan.toml_text import toml_text
from ire.sweeps.plan.trust import check_trusted, classes_in_plan, remember, task_modules
from ire.sweeps.plan.warm_start import warm_started
from ire.sweeps.ray.disk import check_room, room_needed
from ire.sweeps.ray.gpu_share import suggested_share
from ire.sweeps.ray.interruption import terminate_like_interrupt
from ire.sweeps.records.experiment_home import PREFIXES, ExperimentHome, home_at, new_home
from ire.sweeps.records.records import Records
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.search.widening import check_limits
from ire.sweeps.watch.console import plain_console
from ire.sweeps.watch.loggers import check_loggers, loggers
from ire.trial.scale import scaled
from ire.trial.script import located
from search_spaces import Space, find_space
from search_spaces.space import parse_space
from trainables.data.folder import data_in, given_data_folder
from trainables.functions.at_hand import hold, is_of_no_file, name_of
from trainables.functions.function import IMPORTING, TrainingFunction, load_workload
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
    `package.module:train`; `scale="tiny"` selects a task's scaled-down twin. A function that no file holds, such as a
    notebook's, is known to this process alone: `resume` takes it again in another one.
    `methods` and numbers that are not given come from its search space, or from `space`: a TOML file, or the same as
    a dictionary. `preset` repeats an experiment of a paper (`ire presets`) instead, and names the task and its grid.

    After the search, the best `candidates` of each method run again before a winner is chosen. The winners run
    on `confirm_seeds` seeds, and the best baseline runs at the horizons of `curve`, in multiples of the task's
    (True: from 1/2 to 2), also with the learning rate times each of `curve_lr`. With `controls`, IRE's winners
    run with one thing changed.

    With `share_prefix`, trials that differ only in IRE's settings train the steps before IRE's boost once.

    With `inline` the trials run in this process, one at a time and without Ray; the records are the same.

    The experiment goes to `storage`/`name`, which must not exist; `storage` is a folder, or the URI of an
    object store. `workers` train one trial together, each with `cpus_per_worker` and `gpus_per_worker`. A trial
    is restarted at most `max_failures` times, and after `hang_seconds` of silence. `data_dir` is the folder of
    the data sets on every machine; by default `IRE_DATA` or a folder in the user's cache. `precision` (fp32,
    tf32 or bf16; the preset's otherwise, or fp32), `compile`, `deterministic`, `micro_batches` and `schedule`
    are those of every trial; `external` names the trial, as EXPERIMENT/TRIAL, whose gradient norms external
    grafting takes. Modules that the folder of `warm_start` names are imported if this user has run them before, or
    with `trust`.

    Raises `InvalidInput` before anything is started or written. After an interrupt the returned experiment is
    incomplete; if the sweep could not continue, `broken_off` says why. `resume` continues it.
    """
    if IMPORTING:
        raise InvalidInput(
            f'{IMPORTING[-1]} starts a sweep when it is imported: put the call below `if __name__ == "__main__":`'
        )
    return _sweep(task, console or plain_console(), dict(options), trust)


def _sweep(
    task: str | Callable[[Trial], Any] | None, console: Console, options: dict[str, Any], trust: bool
) -> Experiment:
    preset, scale, space = options["preset"], options["scale"], options["space"]
    inherited: dict[str, Any] = {}
    if preset is not None:
        if task is not None or space is not None:
            raise InvalidInput(f"--preset {preset} names its task and space: give it alone")
        chosen = load_preset(preset)
        task, found = scaled(chosen.task, scale), chosen.space(scale)
        methods = chosen.methods if options["methods"] is None else options["methods"]
        inherited = {
            "methods": methods,
            "confirm_seeds": chosen.seeds,
            "precision": chosen.precision,
            "share_prefix": chosen.share_prefix and any(parse_method(name).ire for name in methods),
        }
        if options["curve"] is True:
            options["curve"] = chosen.curve
    elif task is None:
        raise InvalidInput("name a task (`ire tasks`) or a --preset (`ire presets`)")
    else:
        if not isinstance(task, str):
            if isinstance(task, type) or not callable(task):
                raise InvalidInput(
                    f"{task!r}: must be a task's name, as in 'my_tasks:MyTask', or a training function"
                )
            task = name_of(task)
        task = scaled(task, scale)
        found = _space(task, space)
    task, folder = located(task)
    found = replace(found, task=task)
    of_the_space = {
        "methods": found.methods,
        "trials": found.search.trials,
        "confirm_seeds": found.confirm_seeds,
        "candidates": found.candidates,
        "studies": found.studies,
        "name": f"{_short(task)}-{datetime.now():%Y%m%d-%H%M%S}",
    }
    planned = {}
    for name, option in PLANNED.items():
        value = options[name]
        if value is None:
            value = inherited.get(name, of_the_space.get(name, option.default))
        planned[name] = option.taken(value)
    planned["external"] = _absolute(planned["external"])
    planned["warm_start"] = _absolute(planned["warm_start"])
    planned["data_dir"] = given_data_folder(planned["data_dir"])
    PLANNED["methods"].check(planned["methods"])
    planned["methods"] = named(planned["methods"])
    planned["baselines"] = planned["baselines"] or tuple(
        name for name in found.baselines if name in planned["methods"]
    )
    plan = Plan(task=task, rules=RULES, space=found, **planned)
    is_foreign = any(":" in name for name in plan.named_methods) or (":" in task and folder is None)
    import_path = ((folder,) if folder else ()) + ((os.getcwd(),) if is_foreign else ())
    plan = replace(plan, import_path=import_path)
    plan.check()
    check_limits(plan)
    for clause in broken_before(plan):
        console.print(
            f"warning: this comparison will be reported as not comparable: {clause.text}",
            soft_wrap=True,
            highlight=False,
        )
    check_loggers(options["loggers"])
    home = _new_home(options["storage"], plan.name)
    _say(console, f"checking the data of {task} and a model with each method ...")
    where = place(inline=options["inline"], address=options["address"])
    if options["gpus_per_worker"] is None:
        plan = replace(plan, gpus_per_worker=where.gpus_by_default())
    plan = preflight(plan, console, has_other_data=where.has_other_data)
    if plan.warm_start is not None:
        warm = warm_started(plan, trust=trust)
        plan = warm.plan
        _say(console, warm.words)
    for said in dict.fromkeys(found.searched_by_default(plan.method(name)) for name in plan.methods):
        if said:
            console.print(said, soft_wrap=True, highlight=False)
    where.check(plan)
    remember(_modules(plan), plan.import_path)
    return _run(plan, home, None, changed=True, where=where, console=console, trackers=options["loggers"])


@takes({name: option.resume_default for name, option in RESUMED.items()})
def resume(
    folder: str | Path,
    function: Callable[[Trial], Any] | None = None,
    *,
    trust: bool = False,
    console: Console | None = None,
    **options: Unpack[ResumeOptions],
) -> Experiment:
    """Continue a sweep from its records; a finished one is only reported again.

    `trials` raises the budget of every method, `methods` adds methods with the same budget, and
    `confirm_seeds`, `curve` (more horizons, or True for the default ones) and `controls` add runs after the
    search. `folder` may be the URI of an object store. `function` is the training function of the sweep, where no
    file holds it and this process has not started the sweep. A task or method of a module that this user has not run
    before is imported only with `trust`, which is remembered. Raises `InvalidInput`, before anything is started
    or written, for a change that would make old and new trials incomparable.
    """
    changes: dict[str, Any] = dict(options)
    trackers = changes.pop("loggers") or ()
    check_loggers(trackers)
    home, where = home_at(folder), place(inline=changes.pop("inline"), address=changes.pop("address"))
    with home.locked():
        home.open()  # again: until now another process may have been writing
        before, console = read_plan(home.folder, trust=trust), console or plain_console()
        source = f"{home.location}/sweep.toml"
        if not trust:
            check_trusted(task_modules(before.task), before.import_path, source=source)
        search_for_modules(before.import_path)
        if function is not None:
            if not is_of_no_file(before.task):
                raise InvalidInput(f"{source}: {before.task} is found by its name: leave the function out")
            hold(before.task, function)
        plan = extended(before, **changes)
        check_limits(plan)
        preflight_again(plan)
        protocol = Protocol(
            plan,
            home.folder,
            publish=home.publish_records,
            undecided=undecided,
            check=lambda records: check_identity(plan, records, source=source),
        )
        for line in protocol.records.mended:
            console.print(line, style="bold yellow", soft_wrap=True, highlight=False)
        remember(_modules(plan), plan.import_path)
        return _run(
            plan,
            home,
            protocol,
            changed=plan != before,
            where=where,
            console=console,
            trackers=trackers,
        )


def _say(console: Console, text: str) -> None:
    """What is being waited for."""
    console.print(text, style="dim", soft_wrap=True, highlight=False)


def _modules(plan: Plan) -> list[str]:
    """The modules from outside the package whose code the sweep runs."""
    return [*task_modules(plan.task), *classes_in_plan(plan.to_toml())[0]]


def _run(
    plan: Plan,
    home: ExperimentHome,
    protocol: Protocol | None,
    *,
    changed: bool,
    where: Place,
    console: Console,
    trackers: Sequence[str],
) -> Experiment:
    """Run what is left of the plan and report. A new sweep has no protocol yet; of another the lock must be held."""
    from ire.sweeps.watch.progress import Progress
    from ire.sweeps.watch.publisher import Publisher
    from ire.sweeps.watch.tensorboard import TensorBoard

    broken_off, read = None, protocol.records if protocol else None
    with contextlib.ExitStack() as stack:
        stack.enter_context(data_in(plan.data_dir))
        if protocol is None or not protocol.is_over:
            if plan.data is not None and not where.has_other_data:
                check_same_data(plan)
            last = plain_console(file=console.file, waits=False)  # wherever standard output goes by then
            if where.opening:
                _say(console, where.opening)
            slots = stack.enter_context(
                where.opened(
                    plan, home, lambda reason: last.print(_lost(reason, home, where), soft_wrap=True)
                )
            )
            workload = load_workload(plan.task, plan.import_path)
            if protocol is None and needs_probe(plan):
                plan = with_probe(plan, console, where.probe(plan))
            elif (
                protocol
                and isinstance(workload, TrainingFunction)
                and (names := changed_code(plan, protocol.records))
            ):
                _say(console, f"{', '.join(names)} changed since the last run; trying {plan.task} again ...")
                before, plan = plan, with_another_probe(plan, console, where.probe(plan))
                changed |= plan != before
            if where.has_other_data:
                plan = on_data(plan, where.data_identity(plan), is_new=protocol is None)
            room = check_room(room_needed(plan, workload, slots=slots.slots), home.location)
            stack.enter_context(  # after Ray, which has a handler of its own
                terminate_like_interrupt(lambda: last.print(_how_to_go_on(home, where), soft_wrap=True))
            )
            if protocol is None:
                home.create()
                stack.enter_context(home.locked())
            if changed:
                _write_plan(plan, home)
            if protocol is None:
                protocol = Protocol(plan, home.folder, publish=home.publish_records, undecided=undecided)
            screen = stack.enter_context(where.output(home, console))
            for line in (
                f"{plan.name}: {slots.arithmetic}",
                room,
                *where.lacking(),
                *_changed_versions(plan, protocol.records),
            ):
                screen.print(line, soft_wrap=True, highlight=False)
            protocol.records.run(
                versions=versions(plan.task, plan.import_path),
                machine=machine(),
                identity=identity(plan),
                registered=plan.registered,
                **({"widen": True} if plan.widen else {}),
                trials=plan.trials,
                methods=list(plan.methods),
                slots=slots.slots,
                groups=parameter_groups(plan),
            )
            read = None  # reports are forgotten while the sweep runs
            watchers = [
                TensorBoard(home),
                Progress(screen, in_process=where.is_this_process),
                Publisher(home),
                *loggers(
                    trackers, plan, lambda text: screen.print(text, style="bold yellow", soft_wrap=True)
                ),
            ]
            run = where.run(plan, protocol, home, watchers)
            with contextlib.suppress(KeyboardInterrupt):
                try:
                    for watcher in watchers:
                        watcher.opened(protocol)
                    run.run()
                finally:
                    run.close()
            broken_off = run.cannot_go_on
            ends = (trial.reports[-1] for trial in protocol.records.trials.values() if trial.reports)
            if (suggestion := suggested_share(plan, ends)) is not None:
                screen.print(suggestion, soft_wrap=True, highlight=False)
        if plan.share_prefix and protocol.is_over:
            home.clear(PREFIXES)
    experiment = Experiment(home, plan, broken_off=broken_off, read=read)
    try:
        experiment.report()
    except (OSError, InvalidInput) as error:
        experiment = replace(experiment, broken_off=broken_off or f"the report cannot be written: {error}")
    return experiment


def _space(task: str, given: str | Path | Mapping[str, Any] | Space | None) -> Space:
    """The search space of a call; a file of a whole sweep has it already read."""
    if isinstance(given, Space):
        return given
    if isinstance(given, Mapping):
        return parse_space(toml_text(given), task=task, source="space={...}")
    if given is None and is_of_no_file(task):
        raise InvalidInput(
            'a function that no file holds needs its space, too: space={...} or space="train.toml"'
        )
    return find_space(task, given)


def _absolute(location: str | None) -> str | None:
    """A path that means the same from everywhere; a URI without credentials."""
    if location is None or is_uri(location):
        return location and without_credentials(location)
    return str(Path(location).resolve())


def _write_plan(plan: Plan, home: ExperimentHome) -> None:
    """Write `sweep.toml` atomically: a reader finds the old one or the new one."""
    target = home.folder / "sweep.toml"
    temporary = target.with_name(".sweep.toml")
    temporary.write_text(plan.to_toml(), encoding="utf-8")
    temporary.replace(target)
    home.publish()


def _changed_versions(plan: Plan, records: Records) -> list[str]:
    """A line for a resume under other versions than the last run's."""
    if not records.runs:
        return []
    before = records.runs[-1]["versions"]
    changed = differences(before, versions(plan.task, plan.import_path, before))
    return [f"resumed with other versions (recorded): {', '.join(changed)}"] if changed else []


def changed_code(plan: Plan, records: Records) -> list[str]:
    """The files of a training function that differ from those of the last run, by name."""
    if not records.runs:
        return []
    before = records.runs[-1]["versions"]
    now = versions(plan.task, plan.import_path, before)
    names = [name for name in now if name == "task" or name.endswith(".py")]
    return [
        name if name != "task" else plan.task for name in names if before.get(name, now[name]) != now[name]
    ]


def _lost(reason: str, home: ExperimentHome, where: Place) -> str:
    return f"the Ray cluster of this machine is lost: {reason}\n{_how_to_go_on(home, where)}"


def _how_to_go_on(home: ExperimentHome, where: Place) -> str:
    return f"interrupted; continue with: {where.command} {home.argument}"


def _short(task: str) -> str:
    """What an experiment is called by default, after its task: its end, where its whole name is long."""
    return re.sub(r"[^A-Za-z0-9]+", "-", task)[-48:].strip("-")


def _new_home(storage: str | Path, name: str) -> ExperimentHome:
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"--name {name!r}: must be 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"
        )
    return new_home(storage, name)
