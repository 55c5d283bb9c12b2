"""The schema of the `report.json` of one sweep, number 3: its keys and their types; docs/report.md says what they mean.

Losses are in nats, times in seconds, costs in gradients of a full batch.
"""

from typing import Any, NotRequired, TypedDict

SCHEMA = 3


class BoundedFacts(TypedDict):
    """A ratio, and `at least`, `at most` or `unknown` if it is only a bound: as `ire verdict` writes it, too."""

    value: float
    bound: str | None


class RatioFacts(BoundedFacts):
    """A ratio of a sweep; `censored` is an older name of `bound`."""

    censored: str | None


class SpeedUpFacts(RatioFacts):
    """A speed-up with the ends of its interval, over `units`: studies, or seeds of the one study."""

    low: RatioFacts
    high: RatioFacts
    units: int
    p_faster: float
    p_slower: float


class IntervalFacts(TypedDict):
    """A difference of final values with the ends of its interval."""

    value: float
    low: float
    high: float


class DifferenceFacts(IntervalFacts):
    """A difference over `units`."""

    units: int


class MeanStd(TypedDict):
    """A mean and a standard deviation over the confirm runs; None for a single run."""

    mean: float
    std: float | None


class ClockFacts(TypedDict):
    """The verdict on one clock."""

    verdict: str | None
    against: str
    least_detectable: float | None
    studies_for_small: int | None
    speed_ups: dict[str, SpeedUpFacts]
    """By baseline."""


class OfStudy(TypedDict):
    """Settings in one study."""

    study: int
    settings: dict[str, Any]


class WinnerFacts(OfStudy):
    """The search trial that won a study."""

    trial: str


class EdgeFacts(TypedDict):
    """A setting of a winner that lies at an end of its range."""

    setting: str
    value: float
    end: float


class FinalValues(TypedDict, total=False):
    """Final values of the compared metric, by split, unless it is the loss."""

    final_values: dict[str, Any]


class MeasuredFacts(FinalValues):
    """What the confirm runs of a method, or of a control, reached."""

    confirm_runs: int
    lost_runs: int
    metrics: dict[str, MeanStd]
    flatness: dict[str, MeanStd]
    mask: dict[str, MeanStd]
    boosted: list[dict[str, Any]]
    final_val_losses: list[dict[str, float]]
    final_test_losses: list[dict[str, float]]
    speed_up: dict[str, SpeedUpFacts]
    """By clock."""


class ControlFacts(MeasuredFacts):
    """A control of a method."""

    control: str
    what: str
    settings: list[OfStudy]
    is_tuned: bool
    loss_minus_control: DifferenceFacts | None


class NullModelFacts(TypedDict):
    """The losses that a model of the step size alone predicts, and the p value of its misfit."""

    p: float
    predicted: dict[str, float]


class TuningEffort(TypedDict):
    """The number of trials that a search needed, with its interval."""

    trials: float
    low: float
    high: float


class ExpectedBest(TypedDict):
    """The expected best value of `n` trials, with its interval."""

    n: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


class TuningFacts(TypedDict, total=False):
    """How easily a method was tuned; empty with too few studies."""

    tuning_effort: TuningEffort


class TimingFacts(TypedDict, total=False):
    """What the quiet pass measured, if it has run."""

    optimizer_share: float


class MethodFacts(MeasuredFacts, TuningFacts, TimingFacts):
    """One method."""

    method: str
    is_baseline: bool
    winners: list[WinnerFacts]
    at_edge: list[EdgeFacts]
    by_clock: dict[str, ClockFacts]
    loss_minus_best_baseline: DifferenceFacts | None
    speed_up_by_validation_loss: dict[str, SpeedUpFacts]
    speed_up_of_published_settings: dict[str, SpeedUpFacts]
    time_to_target: dict[str, SpeedUpFacts]
    best_run_ratio: dict[str, RatioFacts]
    loss_minus_base: DifferenceFacts | None
    controls: list[ControlFacts]
    without_curvature: NullModelFacts | None
    search_trials: dict[str, int]
    """Their number by status."""
    confirm_trials: dict[str, int]
    gradient_evaluations: int
    shared_gradient_evaluations: int
    training_seconds: float
    trials_to_within_1_percent: list[int | None]
    expected_best: ExpectedBest | None
    importance: dict[str, float] | None


class CurvePointFacts(FinalValues):
    """A baseline at one horizon in one study; final values by seed."""

    study: int
    baseline: str
    factor: float
    horizon: int
    lr: Any
    final_val_losses: dict[str, float | None]
    final_test_losses: dict[str, float]


class ClauseFacts(TypedDict):
    """A clause of the fairness contract."""

    clause: str
    kept: bool | None
    text: str
    word: NotRequired[str]


class FaultFacts(TypedDict):
    """A fault of a trial."""

    trial: str
    kind: str
    cause: str
    status: str


class Objective(TypedDict):
    """The metric that is compared."""

    metric: str
    mode: str


WarmStart = TypedDict(
    "WarmStart",
    {"from": str, "studies": int, "trials": dict[str, int], "gradient_evaluations": dict[str, int]},
)
"""The experiment whose trials informed the searches: its name, how many of its studies, trials and cost by method."""


class ObjectiveFacts(TypedDict, total=False):
    """The metric that is compared, unless it is the loss."""

    objective: Objective


class WidenedFacts(TypedDict, total=False):
    """The ranges that searches have moved, if any."""

    widened: list[dict[str, Any]]


class WarmStartFacts(TypedDict, total=False):
    """Where the searches started from, if they did."""

    warm_start: WarmStart


class ReportFacts(ObjectiveFacts, WidenedFacts, WarmStartFacts):
    """The whole report of one sweep."""

    schema: int
    name: str
    task: str
    form: str
    headline: str
    findings: list[str]
    complete: bool
    comparable: bool
    clock: str
    clock_reason: str | None
    timing_spread: float | None
    margin: float
    studies: int
    judged_on: str
    judges_methods: bool
    calibration: dict[str, Any] | None
    baseline: str | None
    horizon: int
    trials: int
    candidates: int
    confirm_seeds: int
    planned_studies: int
    seed: int
    budget_gradient_evaluations: int
    shared_gradient_evaluations: int
    elapsed_seconds: int
    reproduce: str
    versions: dict[str, str]
    baseline_curve: list[CurvePointFacts]
    contract: list[ClauseFacts]
    paper: list[dict[str, Any]]
    faults: list[FaultFacts]
    methods: list[MethodFacts]
