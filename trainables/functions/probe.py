"""Runs a training function for a few steps before its sweep starts, to find problems for the comparison.

A task is checked more thoroughly, since its batches are available one by one (`trainables.training.stream_check`).
"""

import contextlib
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from ire.invalid_input import InvalidInput
from ire.trial.report import Report, value
from ire.trial.spec import TrialSpec
from trainables.functions.function import TrainingFunction
from trainables.functions.run import run_function
from trainables.functions.trial import Trial
from trainables.training.placement import why_unusable

STEPS, EVAL_INTERVAL = 4, 3
"""Steps and interval of a probe: the last step is not a multiple of the interval, but must also be reported."""
TOLERANCE = 1e-5
"""Relative difference up to which losses on a GPU count as equal, since its sums have no fixed order."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """The findings of a probe about a function that follows the rules of a trial."""

    paired: bool
    """Whether equal seeds give equal first losses."""
    seeded: bool
    """Whether different seeds give different first losses."""
    tests: bool
    """Whether it registers a function that evaluates the test split."""
    overruns: bool
    """Whether it continues past its horizon."""
    drifts: tuple[str, ...] = ()
    """The arms that continue from their saved state with other losses than without an interruption."""


def probe(
    function: TrainingFunction, specs: Sequence[TrialSpec], *, device: torch.device | str, in_group: bool
) -> Probed:
    """Run the trials of `specs`: the first arm, the same again, then with another seed, then every other arm.

    Each arm that saves a state also continues from it. With `in_group` each runs in a process group of one worker.
    Exceptions of the function are raised again; raises `InvalidInput` with the arm if the function breaks the rules
    of a trial.
    """
    device = torch.device(device)
    if why := why_unusable(device):
        raise InvalidInput(
            f"the GPU of a worker cannot be used ({why}): `ire doctor` tries every GPU, and with "
            "`--gpus-per-worker cpu` trials run on the CPU"
        )
    metric = specs[0].metric
    drifts: list[str] = []
    with _group(in_group):
        found: list[Trial] = []
        for number, spec in enumerate(specs):
            if number in (1, 2):
                found.append(_run(function, spec, device))
                continue
            with tempfile.TemporaryDirectory(prefix="ire-probe-") as folder:
                found.append(_run(function, spec, device, checkpoint=folder))
                if any(Path(folder).iterdir()):  # it has saved a state
                    continued = _run(function, spec, device, checkpoint=folder)
                    if not _equal(found[-1].reports, continued.reports, device, metric):
                        drifts.append(spec.method)
    first, again, other = (trial.reports for trial in found[:3])
    paired = _equal(first, again, device, metric)
    return Probed(
        paired=paired,
        seeded=not _equal(first, other, device, metric),
        tests=all(trial.can_test for trial in found),
        overruns=any(trial.overran for trial in found),
        drifts=tuple(drifts) if paired else (),  # otherwise two trials never have equal losses
    )


def _run(
    function: TrainingFunction, spec: TrialSpec, device: torch.device, *, checkpoint: str | None = None
) -> Trial:
    """Run one trial, from `checkpoint` if there is one; returns it after its end."""
    trials: list[Trial] = []

    def take(_: Report, trial: Trial) -> bool:
        trials.append(trial)
        return True

    try:
        run_function(
            spec,
            take,
            function=function,
            device=device,
            softly=True,
            checkpoint=checkpoint,
            checkpoint_seconds=0.0,
            on_trouble=lambda _: None,  # a state that finds no room is not tried
        )
    except InvalidInput as error:
        raise InvalidInput(f"{function.name}, {_tried(spec, trials)}: {error}") from error
    except Exception as error:
        error.add_note(f"{function.name} was {_tried(spec, trials)}")
        raise
    return trials[-1]


def _tried(spec: TrialSpec, trials: Sequence[Trial]) -> str:
    """What a probe did when an error came, in words."""
    if trials and trials[0].first_step:
        return f"continued from the state that it saved at step {trials[0].first_step} as {spec.method!r}"
    return f"tried for {spec.horizon} steps as {spec.method!r}"


def _equal(one: Sequence[Report], other: Sequence[Report], device: torch.device, metric: str) -> bool:
    """Whether two trials have equal losses and values of the metric: bit for bit on a CPU."""
    mine, theirs = (
        [value(report, name) for report in side for name in ("train_loss", "val_loss", metric)]
        for side in (one, other)
    )
    if device.type == "cpu" or len(mine) != len(theirs):
        return mine == theirs
    return all(
        a == b or (a is not None and b is not None and abs(a - b) <= TOLERANCE * max(abs(a), abs(b)))
        for a, b in zip(mine, theirs, strict=True)
    )


@contextlib.contextmanager
def _group(wanted: bool) -> Generator[None, None, None]:
    """A process group of this process alone, if it is wanted and none exists."""
    if not wanted or dist.is_initialized():
        yield
        return
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()
