"""Runs one trial in this process, with the space's published settings as defaults, as `ire train` does.

torch is imported when used.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ire.invalid_input import InvalidInput
from ire.methods.composed import Method
from ire.methods.method import named, parse_method
from ire.sweeps.experiments.train_function import (
    check_options,
    found_function,
    function_spec,
    make_checkpoint_folder,
    train_function,
)
from ire.sweeps.records.recorded_norms import recorded_norms
from ire.trial.report import Report
from ire.trial.script import is_script
from ire.trial.spec import TrialSpec
from search_spaces import Space, find_space

if TYPE_CHECKING:
    import torch


def train_one(
    task: str,
    method: str,
    settings: Mapping[str, Any],
    report: Callable[[Report], None],
    *,
    seed: int = 0,
    horizon: int | None = None,
    threads: int = 1,
    device: str | None = None,
    precision: str = "fp32",
    compile: bool = False,
    deterministic: bool = False,
    schedule: str | None = None,
    micro_batches: int = 1,
    test: bool = False,
    checkpoint: Path | None = None,
    external: str | None = None,
    data_dir: Path | None = None,
    space: Path | None = None,
) -> str:
    """Train `method` on `task`, or an arm of a training function, and return how it ended; needs no Ray and no Optuna.

    Settings that are not given are the published ones of the task's space. With `checkpoint`, a folder, the trial
    saves there once a minute and at the end, and continues from a checkpoint there. `external` names the trial, as
    EXPERIMENT/TRIAL, whose gradient norms external grafting uses. Raises `InvalidInput` before training.
    """
    for name, value, low in (("--seed", seed, 0), ("--threads", threads, 1)):
        if not low <= value < 2**31:
            raise InvalidInput(f"{name} {value}: must be a whole number from {low} to {2**31 - 1}")
    function = found_function(task) if ":" in task or is_script(task) else None
    if function is not None:
        check_options(
            {
                "precision": precision,
                "compile": compile,
                "micro_batches": micro_batches,
                "external": external,
            }
        )
        spec = function_spec(
            task,
            method,
            settings,
            horizon=horizon,
            space=space,
            seed=seed,
            threads=threads,
            deterministic=deterministic,
            schedule=schedule,
            test=test,
        )
        return train_function(spec, function, report, device=_device(device), checkpoint=checkpoint)
    arm = parse_method(*named([method]))
    found = find_space(task, space)
    if arm.ire:
        settings = found.in_fractions(settings, where="--set")
    arm.check(settings, where="--set")
    if external is not None and arm.update != "external":
        raise InvalidInput(
            f"--external {external}: {method} takes no norms from another run; sgd-external does"
        )
    spec = TrialSpec(
        task=task,
        method=method,
        settings=arm.resolve({**_filled_in(found, arm, settings), **settings}, where="--set"),
        seed=seed,
        horizon=found.horizon if horizon is None else horizon,
        eval_interval=found.eval_interval,
        threads=threads,
        precision=precision,
        compile=compile,
        deterministic=deterministic,
        schedule=schedule or found.schedule,
        micro_batches=micro_batches,
        test=test,
        metric=found.metric.name,
        batch_unit=found.batch_unit,
        external_norms=() if external is None else recorded_norms(external),
    )
    from trainables.data.folder import data_in
    from trainables.task import load_task
    from trainables.training.compiling import check_compiling
    from trainables.training.loop import train
    from trainables.training.rehearsal import rehearse

    loaded, chosen = load_task(task), _device(device)

    def take(values: Report, _: object) -> bool:
        report(values)
        return True

    with data_in(data_dir):
        loaded.check_data()
        if compile and chosen.type == "cpu":
            check_compiling()
        rehearse(loaded, {arm: spec.settings}, horizon=spec.horizon)
        spec = replace(spec, data=loaded.data_identity())
        if checkpoint is not None:
            make_checkpoint_folder(checkpoint)
        return train(spec, take, task=loaded, checkpoint=checkpoint, keep_last=True, device=chosen)


def _device(name: str | None) -> "torch.device":
    """The device of that name, or a GPU if there is one; raises `InvalidInput` if it cannot be used."""
    import torch

    from trainables.training.placement import why_unusable

    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if why := why_unusable(name):
        here = "cpu or cuda" if torch.cuda.is_available() else "cpu"
        raise InvalidInput(
            f"--device {name!r}: cannot be used here ({why.partition('. ')[0]}); allowed here: {here}"
        )
    return torch.device(name)


def _filled_in(space: Space, method: Method, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The space's settings, given these ones: all whose condition holds."""
    known = space.dimensions(method)
    return space.complete(method, {name: value for name, value in settings.items() if name in known})
