"""Checks a task or a training function before its sweep starts, so that its trials do not fail."""

from dataclasses import replace
from typing import Any

import torch
from rich.console import Console

from ire.invalid_input import InvalidInput
from ire.methods.composed import Method
from ire.methods.task_settings import attributes, is_of_task
from ire.sweeps.experiments.train_function import OF_TASKS
from ire.sweeps.plan.micro_batches import check_batches
from ire.sweeps.plan.plan import Plan
from search_spaces.dimensions import Interval, ends
from trainables.data.folder import data_in
from trainables.functions.function import TrainingFunction, load_workload
from trainables.functions.probe import EVAL_INTERVAL, STEPS, Probed, probe
from trainables.task import Task
from trainables.training.compiling import check_compiling
from trainables.training.rehearsal import check_metric, rehearse, rehearse_attributes
from trainables.training.stream_check import check_stream


def preflight(plan: Plan, console: Console, *, has_other_data: bool) -> Plan:
    """The plan of a new sweep, with the findings about its data or function; raises `InvalidInput` if it cannot run.

    With `has_other_data` the sweep's workers may have data that this machine lacks; a training function is then probed
    on the cluster, once it is connected (`needs_probe`).
    """
    workload = load_workload(plan.task, plan.import_path)
    if isinstance(workload, TrainingFunction):
        _check_function(plan)
        if has_other_data or plan.gpus_per_worker:
            return plan
        with data_in(plan.data_dir):
            return with_probe(plan, console, probe_here(plan, workload, device="cpu"))
    if plan.space.arms:
        raise InvalidInput(
            f"{plan.space.source} has [arms], which are for training functions, but {plan.task} is a task: "
            "replace them by tables of methods (docs/tasks.md)"
        )
    check_batches(plan, batch_size=workload.batch_size)
    if not has_other_data:
        with data_in(plan.data_dir):
            workload.check_data()
            plan = replace(plan, data=workload.data_identity())
            check_stream(workload.in_study(plan.study_number), seed=plan.seed)
            if not plan.space.metric.is_loss:
                check_metric(workload, plan.space.metric.name)
    _rehearse(plan, workload)
    if not has_other_data:
        _check_compiling(plan)
    return plan


def needs_probe(plan: Plan) -> bool:
    """Whether the plan's function has not been probed yet."""
    workload = load_workload(plan.task, plan.import_path)
    return plan.paired is None and isinstance(workload, TrainingFunction)


def probe_here(plan: Plan, function: TrainingFunction, *, device: str) -> Probed:
    """Probe the function in this process; restores the number of torch's threads."""
    threads = torch.get_num_threads()
    try:
        specs = plan.probe_trials(steps=STEPS, eval_interval=EVAL_INTERVAL)
        return probe(function, specs, device=device, in_group=plan.workers > 1)
    finally:
        torch.set_num_threads(threads)


def with_probe(plan: Plan, console: Console, probed: Probed) -> Plan:
    """The plan with the findings of a probe; prints those that weaken the comparison."""
    findings: list[str] = []
    if not probed.paired:
        findings.append(
            "not paired by seed: equal seeds gave different first losses, so intervals treat runs as independent and "
            "are wider; seed all randomness with trial.seed"
        )
    elif not probed.seeded:
        findings.append(
            "warning: this comparison will be reported as not comparable: another seed gives the same losses, so runs "
            "on fresh seeds repeat one run; let trial.seed determine the initialisation and the order of the data"
        )
    if probed.overruns:
        findings.append(
            "it continues past its horizon, where its trials end: end its loop at trial.horizon, and let its schedules "
            "span that many steps, since a sweep also runs other horizons"
        )
    if probed.drifts:
        findings.append(
            f"warning: an interruption would change the results of {' and '.join(probed.drifts)}: a trial that "
            "continued from its saved state had other losses; save and load all that decides the next step (model, "
            "optimizer, schedule, scaler), read trial.saved last, and take up the batches at trial.first_step"
        )
    if not probed.tests:
        findings.append(
            "it has no test split, so winners are judged on the validation split by which they were chosen; "
            "trial.test_metrics(function) adds a test split"
        )
    for line in findings:
        console.print(f"{plan.task}: {line}", soft_wrap=True, highlight=False)
    return replace(plan, paired=probed.paired, seeded=probed.seeded)


def with_another_probe(plan: Plan, console: Console, probed: Probed) -> Plan:
    """The plan of a sweep whose script has changed; it is paired and seeded only if all its trials are."""
    now = with_probe(plan, console, probed)
    if plan.paired and not probed.paired:
        console.print(
            f"{plan.task}: its earlier trials were paired by seed; from now on none are",
            soft_wrap=True,
            highlight=False,
        )
    return replace(
        now,
        paired=plan.paired if now.paired else False,
        seeded=plan.seeded if now.seeded else False,
    )


def preflight_again(plan: Plan, *, has_other_data: bool) -> None:
    """Check before a resume what may have changed; raises `InvalidInput`."""
    workload = load_workload(plan.task, plan.import_path)
    if isinstance(workload, TrainingFunction):
        _check_function(plan)
    else:
        _rehearse(plan, workload)
        if not has_other_data:
            _check_compiling(plan)


def check_same_data(plan: Plan) -> None:
    """Raise `InvalidInput` if the data here is not that of the sweep."""
    workload = load_workload(plan.task, plan.import_path)
    if plan.data is not None and isinstance(workload, Task):
        workload.check_same_data(plan.data, whose=f"the sweep {plan.name!r}")


def on_data(plan: Plan, here: str | None, *, is_new: bool) -> Plan:
    """The plan with the data of the cluster; raises `InvalidInput` if a resumed sweep used other data."""
    if is_new:
        return replace(plan, data=here)
    workload = load_workload(plan.task, plan.import_path)
    if plan.data is not None and here is not None and isinstance(workload, Task):
        workload.check_same_data(plan.data, whose=f"the sweep {plan.name!r}", here=here)
    return plan


def _check_function(plan: Plan) -> None:
    given: dict[str, Any] = {name: getattr(plan, name) for name in OF_TASKS}
    for name, default in OF_TASKS.items():
        if given[name] != default:
            raise InvalidInput(
                f"--{name.replace('_', '-')}: a training function has its own loop; make it a setting of its arms, "
                "or set it in the script"
            )
    if plan.share_prefix:
        raise InvalidInput(
            "--share-prefix: only trials of a task can share their first steps; leave the option out"
        )


def parameter_groups(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """The parameter groups of each method's optimizer at its published settings, for the records.

    Empty for a training function, and if the model needs data that this machine lacks.
    """
    workload = load_workload(plan.task, plan.import_path)
    if isinstance(workload, TrainingFunction):
        return {}
    return {
        method: [
            {
                "name": group.name,
                "numbers": sum(p.numel() for p in group.parameters.values()),
                "decays": group.decays,
                "parameters": list(group.parameters),
            }
            for group in groups
        ]
        for method, groups in rehearse(workload, _arms(plan), horizon=plan.space.horizon).items()
    }


def _arms(plan: Plan) -> dict[Method, dict[str, Any]]:
    """Every method with its published settings."""
    return {method: method.resolve(plan.space.published(method)) for method in map(plan.method, plan.methods)}


def _rehearse(plan: Plan, task: Task) -> None:
    """Build every arm once, and the model with every searched value of the task; raises `InvalidInput`."""
    arms = _arms(plan)
    rehearse(task, arms, horizon=plan.space.horizon)
    for method, settings in arms.items():
        searched = {
            name: [
                float(value) if isinstance(dimension, Interval) and not dimension.integer else value
                for value in ends(dimension)
                if value != settings.get(name)
            ]
            for name, dimension in plan.space.dimensions(method).items()
            if is_of_task(name)
        }
        rehearse_attributes(task, attributes(settings), attributes(searched))


def _check_compiling(plan: Plan) -> None:
    """For trials on this machine; a GPU's needs another compiler, which only a trial can try."""
    if plan.compile and not plan.gpus_per_worker:
        check_compiling()
