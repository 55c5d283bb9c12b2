"""The table of options: a new option of a sweep is one entry here, and its name and type repeated in `keywords.py`.

A test compares the two; everything else that uses options reads this table. Each entry determines the flags and help
of `ire sweep` and `ire resume`, the signatures of `sweep()` and `resume()`, the check of the plan, the command in the
report that reproduces the sweep, and what a resume may change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ire.sweeps.plan.option import Option, Resume, options_of
from ire.trial.spec import PRECISIONS

MIN_STUDIES = 3
"""A verdict on at least this many studies is about methods; on fewer, about the configurations found."""
CLOCK_NAMES = ("step", "gradient_evaluations", "wall")
CURVE = (0.5, 0.7071, 1.4142, 2.0)
"""Horizons of the baseline curve, in multiples of the task's; the point at 1 is the confirm stage."""


def factors(values: Sequence[float]) -> str | None:
    """The rule that `values` break, or None: they must be distinct factors near 1, without 1."""
    good = all(1 / 16 <= value <= 16 and value != 1 for value in values) and len(set(values)) == len(values)
    return None if good else "distinct factors between 1/16 and 16, without 1"


@dataclass(frozen=True, kw_only=True)
class PlannedOptions:
    """Options in the plan of a sweep besides its search space, in the order of the command's help."""

    task: str
    preset: Annotated[
        str | None,
        Option(help="repeat a published experiment; `ire presets` lists them", repeated="never"),
    ] = None
    methods: Annotated[
        tuple[str, ...],
        Option(
            help="comma-separated methods to compare",
            inherited="the space's",
            repeated="always",
            resume=Resume(help="comma-separated methods to add"),
        ),
    ]
    baselines: Annotated[
        tuple[str, ...],
        Option(
            help="comma-separated methods that the others must beat; default: the methods without IRE",
        ),
    ] = ()
    trials: Annotated[
        int,
        Option(
            help="maximum number of search trials of each method",
            inherited="the space's",
            low=1,
            repeated="always",
            resume=Resume(help="raise each method's maximum and budget to this", raised=True),
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
            help="how many of each method's best trials run again, on separate seeds, before the winner is chosen",
            inherited="the space's",
            low=1,
            repeated="always",
        ),
    ] = 1
    seed: Annotated[
        int,
        Option(help="determines every random draw of the sweep", low=0, fixed=True, repeated="always"),
    ] = 0
    studies: Annotated[
        int,
        Option(
            help="number of studies: complete searches with confirmed winners, each with its own seeds and data split; "
            "with three or more the verdict is about methods",
            inherited="the space's",
            low=1,
            repeated="always",
            resume=Resume(help="raise the number of studies to this", raised=True),
        ),
    ] = 1
    until_decided: Annotated[
        int | None,
        Option(
            help="add studies until the verdict is clear, up to this many; its levels allow for the repeated looks",
            inherited="no study is added",
            low=MIN_STUDIES,
            resume=Resume(help="add studies until the verdict is clear, up to this many", raised=True),
        ),
    ] = None
    curve: Annotated[
        tuple[float, ...],
        Option(
            help="run the best baseline at other horizons (numbers of steps); speed-ups are read from this curve",
            usual=CURVE,
            values_flag=(
                "--curve-horizons",
                "horizons of that curve, in multiples of the task's: 0.5,2,4",
                "add these horizons to the curve: 0.5,2,4",
            ),
            rule=factors,
            repeated="always",
            resume=Resume(help="add the baseline curve"),
        ),
    ] = ()
    curve_lr: Annotated[
        tuple[float, ...],
        Option(
            help="at each horizon, the task's own included, also try the learning rate multiplied by these: 0.5,2",
            rule=factors,
        ),
    ] = ()
    warm_start: Annotated[
        str | None,
        Option(
            help="folder of an experiment whose search trials inform this search and count as spent; its space must "
            "be this one or a part of it",
        ),
    ] = None
    widen: Annotated[
        bool | None,
        Option(
            help="if the best trial lies at an end of its range, move that end (up to `limits` in the space file) for "
            "all methods that share the range, and run half as many trials again",
            resume=Resume(help="move range ends at which a best trial lies, up to the `limits` in the space"),
        ),
    ] = None
    clock: Annotated[
        str | None,
        Option(
            help="the clock of the headline, i.e. the unit of speed: step, gradient_evaluations or wall",
            inherited="wall if the machine is quiet enough to time it, else gradient_evaluations",
            choices=CLOCK_NAMES,
        ),
    ] = None
    controls: Annotated[
        bool,
        Option(
            help="also run controls: IRE's winners with a random mask, the inverted mask, gamma = 1 and kappa = 0, "
            "and every method at its published settings",
            resume=Resume(help="add IRE's controls"),
        ),
    ] = False
    share_prefix: Annotated[
        bool,
        Option(
            help="train the steps before IRE's start once for all trials that share them",
            inherited="the preset's, else no",
        ),
    ] = False
    compile: Annotated[
        bool, Option(help="compile the model and IRE's step with torch.compile", fixed=True)
    ] = False
    deterministic: Annotated[
        bool, Option(help="use only deterministic algorithms, also on a GPU (slower)", fixed=True)
    ] = False
    external: Annotated[
        str | None,
        Option(
            help="EXPERIMENT/TRIAL whose recorded gradient norms the method sgd-external uses", fixed=True
        ),
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
            help="learning rate schedule: cosine, linear, constant, wsd, inverse-sqrt, 'steps 0.2 0.5 0.8 / 5' or "
            "'pieces 0:1 0.8:1 1:0'",
            inherited="the space's",
            fixed=True,
        ),
    ] = None
    micro_batches: Annotated[
        int,
        Option(
            help="split a worker's share of a batch into this many parts (accumulation)", low=1, fixed=True
        ),
    ] = 1
    workers: Annotated[int, Option(help="workers that train one trial together", low=1, fixed=True)] = 1
    cpus_per_worker: Annotated[int, Option(help="CPUs of each worker", low=1, fixed=True)] = 1
    gpus_per_worker: Annotated[
        float,
        Option(
            help="GPUs of each worker; 0.25 lets four workers share one, cpu uses none",
            inherited="1 if there is a GPU",
            low=0,
            named=(("cpu", 0.0),),
            fixed=True,
            repeated="always",
        ),
    ] = 0.0
    max_concurrent: Annotated[
        int | None,
        Option(
            help="maximum number of trials that run at a time",
            inherited="as many as fit",
            low=1,
            resume=Resume(help="maximum number of trials that run at a time, from now on"),
        ),
    ] = None
    max_failures: Annotated[
        int,
        Option(
            help="restarts allowed for a trial that died or hung",
            low=0,
            repeated="never",
            resume=Resume(help="restarts allowed for a trial that died or hung, from now on"),
        ),
    ] = 2
    hang_seconds: Annotated[
        float,
        Option(
            help="restart a trial after this many seconds without a report, but not before ten usual report intervals",
            low=1,
            repeated="never",
            resume=Resume(help="restart a trial after this many seconds without a report, from now on"),
        ),
    ] = 600.0
    checkpoint_seconds: Annotated[
        float,
        Option(
            help="shortest time between two checkpoints of a running trial",
            low=0,
            flag=False,
            repeated="never",
        ),
    ] = 60.0
    name: Annotated[
        str,
        Option(help="name of the experiment", inherited="the task's name and the time", repeated="never"),
    ]
    data_dir: Annotated[
        str | None,
        Option(
            help="data folder; it must exist on every machine",
            inherited="IRE_DATA, else ~/.cache/ire/data",
            repeated="never",
        ),
    ] = None

    def check_options(self) -> None:
        """Raise `InvalidInput` for an option whose own value is not allowed."""
        for name, option in PLANNED.items():
            option.check(getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """Options of a call that are not part of the plan: the space file, and where the sweep runs and is stored."""

    scale: Annotated[
        str | None, Option(help="tiny: the scaled-down version of the task, same as TASK@tiny")
    ] = None
    space: Annotated[
        Path | str | Mapping[str, Any] | None,
        Option(help="a space file of your own (TOML)", inherited="the task's"),
    ] = None
    storage: Annotated[
        str | Path, Option(help="where experiments are stored: a folder, or s3://bucket/prefix")
    ] = "experiments"
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
            help="comma-separated trackers to log to beside TensorBoard: wandb, mlflow (install '.[trackers]'), or one "
            "that a package registers",
            resume=Resume(
                help="comma-separated trackers from now on: wandb, mlflow, or one that a package registers"
            ),
        ),
    ] = ()
    inline: Annotated[
        bool,
        Option(
            help="run one trial at a time in this process, without Ray: for a debugger, a notebook, a CI job",
            resume=Resume(help="continue in this process, one trial at a time, without Ray"),
        ),
    ] = False


PLANNED = options_of(PlannedOptions)
OF_THE_CALL = options_of(CallOptions)
OPTIONS = PLANNED | OF_THE_CALL
"""Every option of `ire sweep` and `sweep()`, by name."""
RESUMED = {name: option for name, option in OPTIONS.items() if option.resume is not None}
"""The options that `ire resume` and `resume()` also take, by name."""
FIXED = ("task", *(name for name, option in PLANNED.items() if option.fixed))
"""The fields of the plan on which results depend, besides the space."""
