"""Builds every arm of a sweep once, on empty weights, before anything starts, so that errors appear at once."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer

from ire.invalid_input import InvalidInput
from ire.methods.composed import Method
from ire.methods.task_settings import attributes
from trainables.data.batch import Batch
from trainables.task import Task
from trainables.training.groups import Group, grouped
from trainables.training.optimizers import build_optimizer, set_mode
from trainables.updates.whole_batch import no_closure


def rehearse(task: Task, arms: Mapping[Method, Mapping[str, Any]], *, horizon: int) -> dict[str, list[Group]]:
    """The parameter groups of each method, by its name, for the model of `task`; `arms` has each method's settings.

    Raises:
        InvalidInput: an arm that cannot be built for this model, with its own message, or one whose step costs more
            gradients than it declares.
    """
    found: dict[str, list[Group]] = {}
    models: dict[int, tuple[Task, nn.Module]] = {}
    for method, settings in arms.items():
        form = task.with_attributes(attributes(settings))
        try:
            if id(form) not in models:
                models[id(form)] = form, empty_model(form)  # kept, so that no other task gets its id
        except InvalidInput:  # only the cluster's machines have the data
            return {}
        model = models[id(form)][1]
        try:
            optimizer = build_optimizer(method, settings, model, horizon=horizon, seed=0)
            check_groups(optimizer, model)
        except InvalidInput:
            raise
        except Exception as error:  # from any constructor
            lines = str(error).strip().splitlines() or [""]
            raise InvalidInput(
                f"method {method.label!r}: cannot be built for this model: {type(error).__name__}: {lines[0]}"
            ) from error
        check_cost(method, settings, horizon=horizon)
        found[method.name] = grouped(method, settings, model)
    return found


def check_metric(task: Task, name: str) -> None:
    """Evaluate one batch of the validation split, and check for the metric by which trials are compared.

    Raises:
        InvalidInput: the task does not report the metric.
    """
    batch = next(iter(task.eval_batches("validation")))
    try:
        sums = _sums(task, empty_model(task), batch)
    except Exception:  # the model holds tensors that are neither parameters nor buffers
        sums = _sums(task, task.model(), batch)
    found = [f"val_{key}" for key in sums if key != "count"]
    if name not in found:
        raise InvalidInput(
            f"{task.name} does not report {name}, by which trials are to be compared: metric in [objective] must be "
            f"one of {', '.join(found)}"
        )


@torch.no_grad()
def _sums(task: Task, model: nn.Module, batch: Batch) -> Mapping[str, torch.Tensor]:
    return task.evaluation_sums(model.eval(), batch)


def rehearse_attributes(
    task: Task, published: Mapping[str, Any], searched: Mapping[str, Sequence[Any]]
) -> None:
    """Build the model with each of the `searched` values, one at a time, and the `published` ones otherwise.

    Raises:
        InvalidInput: an attribute that the task does not have, a value of another type, or one with which the model
            cannot be built, with the model's own message.
    """
    for name, values in searched.items():
        for value in values:
            form = task.with_attributes({**published, name: value})
            try:
                empty_model(form)
            except InvalidInput:  # the data is on the cluster's machines only
                return
            except Exception as error:  # from any model
                lines = str(error).strip().splitlines() or [""]
                raise InvalidInput(
                    f"task.{name} = {value!r}: the model cannot be built: {type(error).__name__}: {lines[0]}"
                ) from error


def empty_model(task: Task) -> nn.Module:
    """The task's model with uninitialised memory, which costs next to nothing at any size."""
    try:
        with torch.device("meta"):
            model = task.model()
    except (RuntimeError, NotImplementedError, ValueError, TypeError):  # the model computes with its weights
        return task.model()
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False, remove_duplicate=False):
            if id(p) not in made:
                made[id(p)] = nn.Parameter(torch.empty_like(p, device="cpu"), requires_grad=p.requires_grad)
            setattr(module, name, made[id(p)])
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.zeros_like(buffer, device="cpu"))
    return model


def check_groups(optimizer: Optimizer, model: nn.Module) -> None:
    """Raise `InvalidInput` unless every trainable parameter is in exactly one group."""
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    wanted = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    lost = [name for key, name in wanted.items() if held.count(key) != 1]
    if lost:
        raise InvalidInput(f"{len(lost)} parameters are in no group or in several: {', '.join(lost[:3])}")


def check_cost(method: Method, settings: Mapping[str, Any], *, horizon: int) -> None:
    """Take one step on a matrix and a vector, and count how many gradients it evaluates.

    Raises:
        InvalidInput: a step evaluates none, or more than the method declares.
    """
    if method.update or method.base.curvature_interval:
        return  # built in; tests count these
    toy = nn.Sequential(nn.Embedding(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    taken = 0

    def closure() -> torch.Tensor:
        nonlocal taken
        taken += 1
        for p in toy.parameters():
            p.grad = torch.full_like(p, 1e-3)
        return torch.ones(())

    try:
        alone = Method(base=method.base, sam=method.sam)
        own = {name: settings[name] for name in (*alone.settings, *alone.options) if name in settings}
        optimizer = build_optimizer(alone, own, toy, horizon=horizon, seed=0)
        set_mode(optimizer, training=True)
        cast(Any, optimizer).step(closure)  # torch's stubs want a closure that returns a float
    except Exception:  # the optimizer may refuse such a small model; the training loop also counts
        return
    if not taken:
        raise no_closure(method)
    check_count(method, settings, taken)


def check_count(method: Method, settings: Mapping[str, Any], taken: float) -> None:
    """Raise `InvalidInput` if a step that took `taken` gradients costs more than the method declares."""
    declared = method.gradients_per_step(settings)
    if taken > declared:
        raise InvalidInput(
            f"{method.label} took {taken:g} gradients in one step but declares {declared}, so budgets would not hold; "
            f'set ire_method = {{"gradients": {-(-taken * method.base.gradients // declared):g}}} in its class'
        )
