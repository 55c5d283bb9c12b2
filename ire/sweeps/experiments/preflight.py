"""What is checked of a task, or of a training function, before a sweep of it starts, so that none must fail."""

from dataclasses import replace
from typing import Any

from ire.invalid_input import InvalidInput
from ire.methods.of_task import attributes, is_of_task
from ire.sweeps.experiments.train_function import OF_TASKS
from ire.sweeps.plan.micro_batches import check_batches
from ire.sweeps.plan.plan import Plan
from search_spaces.dimensions import ends
from trainables.data.folder import data_in
from trainables.functions.function import TrainingFunction, load_workload
from trainables.task import Task
from trainables.training.rehearsal import rehearse, rehearse_attributes
from trainables.training.stream_check import check_stream


def preflight(plan: Plan, *, has_other_data: bool) -> Plan:
    """The plan of a new sweep with its data's identity; raises `InvalidInput` for what cannot be trained.

    With `has_other_data` the sweep's workers may have data that this machine has not.
    """
    workload = load_workload(plan.task, plan.import_path)
    if isinstance(workload, TrainingFunction):
        _check_function(plan)
        return plan
    if plan.space.arms:
        raise InvalidInput(
            f"{plan.space.source} has [arms], which are for training functions, and {plan.task} is a task: give it "
            "tables of methods (docs/tasks.md)"
        )
    check_batches(plan, batch_size=workload.batch_size)
    if not has_other_data:
        with data_in(plan.data_dir):
            workload.check_data()
            plan = replace(plan, data=workload.data_identity())
            check_stream(workload.in_study(plan.study_number), seed=plan.seed)
    _rehearse(plan, workload)
    return plan


def preflight_again(plan: Plan) -> None:
    """The same before a resume, of what can have changed."""
    workload = load_workload(plan.task, plan.import_path)
    if isinstance(workload, TrainingFunction):
        _check_function(plan)
    else:
        _rehearse(plan, workload)


def check_same_data(plan: Plan) -> None:
    """Raise `InvalidInput` if the data here is not that of the sweep."""
    workload = load_workload(plan.task, plan.import_path)
    if plan.data is not None and isinstance(workload, Task):
        workload.check_same_data(plan.data, whose=f"the sweep {plan.name!r}")


def _check_function(plan: Plan) -> None:
    given: dict[str, Any] = {name: getattr(plan, name) for name in OF_TASKS}
    for name, default in OF_TASKS.items():
        if given[name] != default:
            raise InvalidInput(
                f"--{name.replace('_', '-')}: a training function has a loop of its own; make it a setting of its arms "
                "or set it in the script"
            )
    if plan.share_prefix:
        raise InvalidInput("--share-prefix: only trials of a task share their first steps; leave it out")


def _rehearse(plan: Plan, task: Task) -> None:
    """Build every arm once, and the model with every value of the task that is searched; raises `InvalidInput`."""
    arms = {method: method.resolve(plan.space.published(method)) for method in map(plan.method, plan.methods)}
    rehearse(task, arms, horizon=plan.space.horizon)
    for method, settings in arms.items():
        searched = {
            name: [value for value in ends(dimension) if value != settings.get(name)]
            for name, dimension in plan.space.dimensions(method).items()
            if is_of_task(name)
        }
        rehearse_attributes(task, attributes(settings), attributes(searched))
