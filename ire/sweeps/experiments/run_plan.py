"""Runs a checked plan to its end, for the first time or again: connects, probes, trains what is left, and reports."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from ire.invalid_input import InvalidInput
from ire.storage.whole_file import write_whole
from ire.sweeps.experiments.experiment import Experiment
from ire.sweeps.experiments.places import Place
from ire.sweeps.experiments.preflight import (
    check_same_data,
    needs_probe,
    on_data,
    parameter_groups,
    with_another_probe,
    with_probe,
)
from ire.sweeps.findings.comparison import undecided
from ire.sweeps.plan.changes import identity
from ire.sweeps.plan.plan import Plan
from ire.sweeps.plan.provenance import differences, machine, versions
from ire.sweeps.ray.disk import check_room, room_needed
from ire.sweeps.ray.gpu_share import memory_of_a_gpu, suggested_share
from ire.sweeps.ray.interruption import terminate_like_interrupt
from ire.sweeps.records.experiment_home import PREFIXES, ExperimentHome
from ire.sweeps.records.records import Records
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.console import plain_console
from ire.sweeps.watch.loggers import loggers
from trainables.data.folder import data_in
from trainables.functions.function import TrainingFunction, load_workload


def say(console: Console, text: str) -> None:
    """Print what the user is waiting for."""
    console.print(text, style="dim", soft_wrap=True, highlight=False)


def run_plan(
    plan: Plan,
    home: ExperimentHome,
    protocol: Protocol | None,
    *,
    text: str = "",
    changed: bool,
    where: Place,
    console: Console,
    trackers: Sequence[str],
) -> Experiment:
    """Run the rest of the plan and report. A new sweep has no protocol yet; for a resumed one the lock must be held.

    `text` is that of `sweep.toml` if there is one, and `changed` says that it has to be written.
    """
    from ire.sweeps.watch.progress import Progress  # slow to load, as TensorBoard is
    from ire.sweeps.watch.publisher import Publisher
    from ire.sweeps.watch.tensorboard import TensorBoard

    broken_off, read = None, protocol.records if protocol else None
    with contextlib.ExitStack() as stack:
        stack.enter_context(data_in(plan.data_dir))
        if protocol is None or not protocol.is_over:
            if plan.data is not None and not where.has_other_data:
                check_same_data(plan)
            last = plain_console(
                file=console.file, waits=False
            )  # even if standard output has been redirected
            if where.opening:
                say(console, where.opening)
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
                say(console, f"{', '.join(names)} changed since the last run; trying {plan.task} again ...")
                before, plan = plan, with_another_probe(plan, console, where.probe(plan))
                changed |= plan != before
            if where.has_other_data:
                plan = on_data(plan, where.data_identity(plan), is_new=protocol is None)
            room = check_room(room_needed(plan, workload, slots=slots.slots), home.location)
            stack.enter_context(  # after Ray, which installs its own handler
                terminate_like_interrupt(lambda: last.print(_how_to_go_on(home, where), soft_wrap=True))
            )
            if protocol is None:
                home.create()
                stack.enter_context(home.locked())
            if changed:
                text = _write_plan(plan, home)
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
            memory = memory_of_a_gpu() if plan.gpus_per_worker else None
            if (suggestion := suggested_share(plan, ends, memory)) is not None:
                screen.print(suggestion, soft_wrap=True, highlight=False)
        if plan.share_prefix and protocol.is_over:
            home.clear(PREFIXES)
    experiment = Experiment(home, plan, text, broken_off=broken_off, read=read)
    if not (home.folder / "sweep.toml").is_file():  # a report would make the folder anew
        return replace(
            experiment, broken_off=f"{home.location} is gone: it was moved or deleted while the sweep ran"
        )
    try:
        experiment.report()
    except (OSError, InvalidInput) as error:
        experiment = replace(experiment, broken_off=broken_off or f"the report cannot be written: {error}")
    return experiment


def _write_plan(plan: Plan, home: ExperimentHome) -> str:
    """Write `sweep.toml` atomically: a reader finds the old one or the new one. Returns its text."""
    text = plan.to_toml()
    write_whole(home.folder / "sweep.toml", text)
    home.publish()
    return text


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
