"""Runs one trial of a training function in this process, without Ray, as `ire train train.py:train` does.

torch is imported when used.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ire.invalid_input import InvalidInput, unknown
from ire.methods.own_arm import own_arm
from ire.trial.metric import LOSS
from ire.trial.report import Report
from ire.trial.script import located
from ire.trial.spec import TrialSpec
from search_spaces import Space, find_space

if TYPE_CHECKING:
    import torch

    from trainables.functions.function import TrainingFunction

OF_TASKS = {"precision": "fp32", "compile": False, "micro_batches": 1, "external": None}
"""Options that only a task's loop supports, and their defaults."""


def found_function(task: str) -> "TrainingFunction | None":
    """The training function of that name; None for a task. The path of a script is relative to the current folder."""
    from trainables.functions.function import TrainingFunction, load_workload

    name, folder = located(task)
    loaded = load_workload(name, [folder] if folder else [])
    return loaded if isinstance(loaded, TrainingFunction) else None


def check_options(options: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` for an option that a training function's own loop would ignore."""
    for name, default in OF_TASKS.items():
        if name in options and options[name] not in (None, default):
            raise InvalidInput(
                f"--{name.replace('_', '-')} {options[name]}: a training function has its own loop; make it a "
                "setting of its arms, or set it in the script"
            )


def function_spec(
    task: str,
    method: str,
    settings: Mapping[str, Any],
    *,
    horizon: int | None,
    space: Path | None,
    **fields: Any,
) -> TrialSpec:
    """The trial of an arm, with published values of settings that are not given; raises `InvalidInput`.

    Without a space file, which may lie beside a script, all settings are accepted and `horizon` is required.
    """
    found = _space(task, space, horizon)
    if found is None:
        arm, published = own_arm(method), {}
    else:
        arm = found.method(method, where=found.source)
        published = found.published(arm)
        for name, value in settings.items():
            if name not in published and name not in arm.settings | arm.options:
                raise unknown(f"setting of {method}", name, published, where="--set")
            usual = published.get(name)
            if isinstance(usual, int | float) != isinstance(value, int | float) and usual is not None:
                kind = "a number" if isinstance(usual, int | float) else "a string"
                raise InvalidInput(
                    f"--set {name}={value}: must be {kind}, like its published value {usual!r}"
                )
    if horizon is None:
        assert found is not None
        horizon = found.horizon
    return TrialSpec(
        task=located(task)[0],
        method=method,
        settings=arm.resolve({**published, **settings}, where="--set"),
        horizon=horizon,
        eval_interval=found.eval_interval if found else max(1, horizon // 10),
        metric=found.metric.name if found else LOSS.name,
        schedule=fields.pop("schedule", None) or (found.schedule if found else "cosine"),
        **fields,
    )


def _space(task: str, path: Path | None, horizon: int | None) -> Space | None:
    try:
        return find_space(task, path)
    except InvalidInput as error:
        if path is None and horizon is not None and "has no search space" in str(error):
            return None
        raise


def make_checkpoint_folder(folder: Path) -> None:
    """Make the folder before anything trains; raises `InvalidInput` if nothing can be written there."""
    if folder.is_file():
        raise InvalidInput(f"--checkpoint '{folder}' is a file; name a folder, which may be new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = error.strerror or str(error)
        raise InvalidInput(
            f"--checkpoint '{folder}' cannot be written to ({why}): name another folder, which may be new"
        ) from error


def train_function(
    spec: TrialSpec,
    function: "TrainingFunction",
    report: Callable[[Report], None],
    *,
    device: "torch.device",
    checkpoint: Path | None,
) -> str:
    """Run the trial and return how it ended; raises `InvalidInput` if the function breaks the rules of a trial."""
    from trainables.functions.run import run_function

    def take(values: Report, _: object) -> bool:
        report(values)
        return True

    if checkpoint is not None:
        make_checkpoint_folder(checkpoint)
    return run_function(spec, take, function=function, checkpoint=checkpoint, device=device)
