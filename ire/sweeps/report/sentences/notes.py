"""The definitions of a report's numbers: the notes below it."""

from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.statistics.draws import LEVEL
from ire.sweeps.findings.statistics.verdict import (
    MARGIN,
)
from ire.sweeps.findings.yardstick import TEST
from ire.sweeps.plan.options import MIN_STUDIES
from ire.trial.metric import Metric


def notes(comparison: Comparison) -> list[str]:
    """The notes, one paragraph each."""
    split = "test split, on which no choice was based" if comparison.judged_on == TEST else "validation split"
    unit = "studies" if comparison.studies > 1 else "seeds of the one study"
    metric = comparison.metric
    return [
        "A study is one search of every method and the confirm runs of its winners, with its own seeds and its own "
        f"split of the training data. With {MIN_STUDIES} studies or more, a verdict is about methods; with fewer, it "
        "is about the configurations that these searches found.",
        "The speed-up S = h*/T is how much longer (above 1) a tuned baseline would have to run, with a complete "
        f"schedule, to reach the final {metric.words} of the method at the task's horizon T. It is read from the "
        f"baseline's curve of final {metric.words} against horizon, on the {split}. The curve is monotone and never "
        f"extrapolated: ≥ and ≤ mean that it ends there, ? that it bounds nothing.{_direction(metric)}",
        f"faster: shown to be faster than every tuned baseline on that clock by more than {MARGIN}, a margin "
        "fixed beforehand; slower: some baseline is shown to be faster. Both are corrected over the methods "
        "(Holm); the speed-up shown is the one over the baseline that decides. not finished: winners are at an "
        "end of their range, or too few trials ran to the end.",
        f"Intervals are over {unit}, at {LEVEL:.0%} or at the higher level that the correction requires, so that they "
        "agree with the verdicts.",
        "Gradient evaluations: a step costs one gradient of a full batch, a step of SAM two, one with a penalty "
        "three, each new mask of IRE one more. Wall-clock: device-synchronised time per step, masks included, measured "
        "by a quiet pass at the end in which the winners take turns; evaluation, checkpoints and compiling are "
        "left out.",
        "Values are mean ± standard deviation over the confirm runs. Time to target: the baseline's time to its "
        "own final loss divided by the method's time to the same loss, on mean curves of the confirm runs; best run: "
        "the same for the best search trial of each. The literature quotes these ratios; they read curves "
        "in mid-schedule, and no verdict is based on them.",
    ]


def _direction(metric: Metric) -> str:
    """Which metric is compared and in which direction; empty for the loss."""
    if metric.is_loss:
        return ""
    return (
        f" Search, pruning, selection and verdict use {metric.name}, of which {metric.better} is better; its speed-up "
        "is defined as for a loss."
    )
