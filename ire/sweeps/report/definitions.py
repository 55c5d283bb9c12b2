"""How the numbers of a report are defined: the notes below it."""

from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.statistics.draws import LEVEL
from ire.sweeps.findings.statistics.verdict import (
    MARGIN,
)
from ire.sweeps.findings.yardstick import TEST
from ire.sweeps.plan.options import MIN_STUDIES
from ire.trial.metric import Metric


def notes(comparison: Comparison) -> list[str]:
    """How the numbers are defined."""
    split = "test split, by which nothing was chosen" if comparison.judged_on == TEST else "validation split"
    unit = "studies" if comparison.studies > 1 else "seeds of the one study"
    metric = comparison.metric
    return [
        "A study is one search of every method and the confirm runs of its winners, with seeds and a split of "
        f"the training data of its own. From {MIN_STUDIES} studies on a verdict is about methods; fewer compare "
        "the configurations that these searches found.",
        "The speed-up S = h*/T is how much longer (above 1) a tuned baseline would have to run, with a complete "
        f"schedule, to end at the {metric.words} at which the method ends at the task's horizon T. It is read from the "
        f"baseline's curve of final {metric.words} against horizon, on the {split}: monotone, never extrapolated; "
        f"≥ and ≤ mean that the curve ends there.{_direction(metric)}",
        f"faster: shown to be faster than every tuned baseline on that clock by more than {MARGIN}, a margin "
        "fixed beforehand; slower: some baseline is shown to be faster. Both are corrected over the methods "
        "(Holm); the speed-up shown is the one over the baseline that decides. not finished: winners at an end "
        "of their range, or too few trials that ran to the end.",
        f"Intervals are over {unit}, {LEVEL:.0%} or as much higher as the correction asks, so that they agree with the "
        "verdicts.",
        "Gradient evaluations: a step costs one gradient of a full batch, a step of SAM two, one with a penalty "
        "three, a mask of IRE one more. Wall-clock: device-synchronised time per step, masks included, measured "
        "by a quiet pass at the end in which the winners take turns; evaluation, checkpoints and compiling are "
        "left out.",
        "Values are mean ± standard deviation over the confirm runs. Time to target: time of the baseline to its "
        "own final loss over the method's time to the same loss, on mean curves of the confirm runs; best run: "
        "the same for the best search trial of each. These are the ratios that the literature quotes; they read "
        "curves in mid-schedule, and no verdict rests on them.",
    ]


def _direction(metric: Metric) -> str:
    """What is compared and which way, where it is not the loss."""
    if metric.is_loss:
        return ""
    return (
        f" Search, pruning, selection and verdict go by {metric.name}, {metric.better} is better; a speed-up means for "
        "it what it means for a loss."
    )
