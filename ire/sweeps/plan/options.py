"""The table of options: a new option of a sweep is one entry here, and every place that knows options reads it.

From an entry come the flags and help of `ire sweep` and `ire resume`, the signatures of `sweep()` and `resume()`, the
check of the plan, the command in a report that runs the sweep again, and what a resume may change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ire.sweeps.plan.option import Option, Resume, options_of
from ire.trial.spec import PRECISIONS

MIN_STUDIES = 3
"""From so many studies on a verdict is about methods; from fewer the findings are about configurations."""
CLOCK_NAMES = ("step", "gradient_evaluations", "wall")
CURVE = (0.5, 0.7071, 1.4142, 2.0)
"""Horizons of the baseline curve, in multiples of the task's; the point at 1 is the confirm stage."""


def factors(values: Sequence[float]) -> str | None:
    """What `values` must be, if they are not different factors of something."""
    good = all(1 / 16 <= value <= 16 and value != 1 for value in values) and len(set(values)) == len(values)
    return None if good else "different factors between 1/16 and 16, without 1"


@dataclass(frozen=True, kw_only=True)
class PlannedOptions:
    """What the plan of a sweep holds beside its search space; the order is that of the command's help."""

    task: str
    preset: Annotated[
        str | None,
        Option(help="repeat an experiment of a paper: `ire presets`", repeated="never"),
    ] = None
    methods: Annotated[
        tuple[str, ...],
        Option(
            help="comma-separated",
            inherited="the space's",
            repeated="always",
            resume=Resume(help="comma-separated methods to add"),
        ),
    ]
    baselines: Annotated[
        tuple[str, ...],
        Option(
            help="comma-separated: the methods that are the yardstick; every other one is judged against the best of "
            "them. Default: those of `ire methods` without IRE",
        ),
    ] = ()
    trials: Annotated[
        int,
        Option(
            help="cap on search trials of each method",
            inherited="the space's",
            low=1,
            repeated="always",
            resume=Resume(help="raise each method's cap and budget to this", raised=True),
        ),
    ]
    confirm_seeds: Annotated[
        int,
        Option(
            help="fresh seeds for each winner; 0 ends the sweep after the search",
            inherited="the space's",
            low=0,
            repeated="always",
            resume=Resume(help="raise the winners' fresh seeds to this", raised=True),
        ),
    ]
    candidates: Annotated[
        int,
        Option(
            help="best trials of each method that run again, on seeds of their own, before one is chosen",
            inherited="the space's",
            low=1,
            repeated="always",
        ),
    ] = 1
    seed: Annotated[
        int,
        Option(help="decides every random draw of the sweep", low=0, fixed=True, repeated="always"),
    ] = 0
    studies: Annotated[
        int,
        Option(
            help="whole searches with their confirm runs, each with seeds and a data split of its own; from three on "
            "the verdict is about methods",
            inherited="the space's",
            low=1,
            repeated="always",
            resume=Resume(help="raise the number of studies to this", raised=True),
        ),
    ] = 1
    until_decided: Annotated[
        int | None,
        Option(
            help="add studies until the verdict is clear, up to this many; looking again and again is paid for",
            inherited="none are added",
            low=MIN_STUDIES,
            resume=Resume(help="add studies until the verdict is clear, up to this many"),
        ),
    ] = None
    curve: Annotated[
        tuple[float, ...],
        Option(
            help="run the best baseline at other horizons: speed-ups are read from this curve",
            usual=CURVE,
            values_flag=(
                "--curve-horizons",
                "these horizons instead, in multiples of the task's: 0.5,2,4",
                "add these horizons to it: 0.5,2,4",
            ),
            rule=factors,
            repeated="always",
            resume=Resume(help="add the baseline curve"),
        ),
    ] = ()
    curve_lr: Annotated[
        tuple[float, ...],
        Option(
            help="at each horizon, the task's own included, also try the learning rate times these factors: 0.5,2",
            rule=factors,
        ),
    ] = ()
    warm_start: Annotated[
        str | None,
        Option(
            help="an experiment's folder: its search trials, in this space or a part of it, inform the search, and "
            "count as spent",
        ),
    ] = None
    widen: Annotated[
        bool | None,
        Option(
            help="let a search move a range that it presses against, within the limits of the space file, for all "
            "methods that share it, and run half as many trials again",
            resume=Resume(help="let searches move ranges that they press against, within the space's limits"),
        ),
    ] = None
    clock: Annotated[
        str | None,
        Option(
            help="step, gradient_evaluations or wall: the clock of the headline",
            inherited="wall, if it can be measured quietly, else gradient_evaluations",
            choices=CLOCK_NAMES,
        ),
    ] = None
    controls: Annotated[
        bool,
        Option(
            help="also run IRE's winners without what makes them IRE, and the published settings",
            resume=Resume(help="add IRE's controls"),
        ),
    ] = False
    share_prefix: Annotated[
        bool,
        Option(
            help="train the steps before IRE once for all trials that share them", inherited="the preset's"
        ),
    ] = False
    compile: Annotated[bool, Option(help="compile the model and IRE's step", fixed=True)] = False
    deterministic: Annotated[
        bool, Option(help="only algorithms that give the same bits twice, on a GPU, too: slower", fixed=True)
    ] = False
    external: Annotated[
        str | None,
        Option(help="EXPERIMENT/TRIAL whose gradient norms the method sgd-external takes", fixed=True),
    ] = None
    precision: Annotated[
        str,
        Option(
            help="fp32, tf32 or bf16", inherited="the preset's, else fp32", choices=PRECISIONS, fixed=True
        ),
    ] = "fp32"
    schedule: Annotated[
        str | None,
        Option(
            help="of the learning rate: cosine, linear, constant, wsd, inverse-sqrt, or as in 'steps 0.2 0.5 0.8 / 5', "
            "'pieces 0:1 0.8:1 1:0'",
            inherited="the space's",
            fixed=True,
        ),
    ] = None
    micro_batches: Annotated[
        int, Option(help="parts of a worker's share of a batch (accumulation)", low=1, fixed=True)
    ] = 1
    workers: Annotated[int, Option(help="workers of one trial", low=1, fixed=True)] = 1
    cpus_per_worker: Annotated[int, Option(help="CPUs of each worker", low=1, fixed=True)] = 1
    gpus_per_worker: Annotated[
        float,
        Option(
            help="GPUs of each worker, or a share of one, as in 0.25; cpu leaves them alone",
            inherited="1 where there are any",
            low=0,
            named=(("cpu", 0.0),),
            fixed=True,
            repeated="always",
        ),
    ] = 0.0
    max_concurrent: Annotated[
        int | None,
        Option(
            help="cap on trials at a time",
            inherited="as many as fit",
            low=1,
            resume=Resume(help="cap on trials at a time from now on"),
        ),
    ] = None
    max_failures: Annotated[
        int,
        Option(
            help="restarts of a trial that died or hung",
            low=0,
            repeated="never",
            resume=Resume(help="restarts of a trial from now on"),
        ),
    ] = 2
    hang_seconds: Annotated[
        float,
        Option(
            help="a trial silent for this long, and ten times its usual interval, is started again",
            low=1,
            repeated="never",
            resume=Resume(help="silence that counts as a hang from now on"),
        ),
    ] = 600.0
    checkpoint_seconds: Annotated[
        float, Option(help="a live trial saves at most this often", low=0, flag=False, repeated="never")
    ] = 60.0
    name: Annotated[
        str, Option(help="of the experiment", inherited="the task's and the time", repeated="never")
    ]
    data_dir: Annotated[
        str | None,
        Option(
            help="where data lies, on every machine",
            inherited="IRE_DATA, else ~/.cache/ire/data",
            repeated="never",
        ),
    ] = None

    def check_options(self) -> None:
        """Raise `InvalidInput` for an option whose value is not allowed, whatever the others are."""
        for name, option in PLANNED.items():
            option.check(getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """What a call takes beside what the plan holds: which space, and where the sweep runs and is kept."""

    scale: Annotated[str | None, Option(help="tiny: the scaled-down twin, same as TASK@tiny")] = None
    space: Annotated[
        Path | str | Mapping[str, Any] | None,
        Option(help="a space file of your own (TOML)", inherited="the task's"),
    ] = None
    storage: Annotated[str | Path, Option(help="where experiments go: a folder, or s3://bucket/prefix")] = (
        "experiments"
    )
    address: Annotated[
        str | None,
        Option(
            help="join this Ray cluster",
            inherited="RAY_ADDRESS, else this machine alone",
            resume=Resume(help="join this Ray cluster; default: RAY_ADDRESS, else this machine alone"),
        ),
    ] = None
    loggers: Annotated[
        tuple[str, ...],
        Option(
            help="also log to these: wandb, mlflow (their packages must be installed), or what a package registers",
            resume=Resume(help="log to these from now on: wandb, mlflow, or what a package registers"),
        ),
    ] = ()
    inline: Annotated[
        bool,
        Option(
            help="one trial at a time in this process, without Ray: for a debugger, a notebook, a CI job",
            resume=Resume(help="continue in this process, one trial at a time and without Ray"),
        ),
    ] = False


PLANNED = options_of(PlannedOptions)
OPTIONS = PLANNED | options_of(CallOptions)
"""By name: every option of `ire sweep` and `sweep()`."""
RESUMED = {name: option for name, option in OPTIONS.items() if option.resume is not None}
"""Those of `ire resume` and `resume()`."""
FIXED = ("task", *(name for name, option in PLANNED.items() if option.fixed))
"""Fields of the plan that results depend on, beside the space."""
