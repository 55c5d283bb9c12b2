"""The fairness contract as far as curves show it: clauses that are kept, broken, or cannot be checked."""

from collections.abc import Iterator, Sequence

from ire.sweeps.findings.clause import Clause
from ire.sweeps.findings.curves.arms import Arm
from ire.sweeps.findings.curves.runs import Curves
from ire.sweeps.findings.statistics.verdict import MIN_SEEDS
from ire.sweeps.plan.options import MIN_STUDIES

UNSEEN = {
    "budget": "whether every arm was tuned with the same budget and in the same ranges",
    "choice": "whether runs or settings were chosen by the values that are compared",
    "hardware": "whether the machines were equal and otherwise idle, as a verdict on wall-clock needs,",
}
"""Clauses that curves cannot show."""


def curve_clauses(curves: Curves, arms: Sequence[Arm], studies: int, paired: bool) -> Iterator[Clause]:
    """The contract of a sweep, each clause as far as the table shows it."""
    baselines = [arm for arm in arms if arm.is_baseline]
    unusable = [arm.name for arm in baselines if not any(side.is_usable for side in arm.sides)]
    few = [*unusable, *(arm.name for arm in arms if not arm.is_baseline and not arm.main.is_usable)]
    yield Clause(
        name="runs",
        kept=not unusable,
        text=f"every judged arm needs {MIN_SEEDS} runs at its horizon, or runs of {MIN_SEEDS} studies if it has "
        "several, and none lost" + (f"; these have not, and are not judged: {', '.join(few)}" if few else ""),
    )
    yield _schedules(curves, arms)
    single = [arm.name for arm in baselines if len(arm.curve) == 1]
    known = [f"{a.name} at {', '.join(str(s.horizon) for s in a.curve) or 'no horizon'}" for a in baselines]
    bounded = f"; with one horizon ({', '.join(single)}) it is only bounded" if single else ""
    yield Clause(
        name="curve",
        kept=not single and not unusable,
        text=f"a speed-up is read from the baseline's final {curves.metric.words} at several horizons: "
        f"{'; '.join(known)}{bounded}",
    )
    pairs = "runs are paired by seed" if studies < 2 else "arms are paired by study"
    if not paired:
        units = "seeds" if studies < 2 else "studies"
        pairs = f"the arms do not all have runs of the same {units}, so intervals assume independent {units}"
    yield Clause(name="seeds", kept=paired or None, text=pairs)
    yield Clause(
        name="studies",
        kept=studies >= MIN_STUDIES or None,
        text=f"{studies} stud{'y' if studies == 1 else 'ies'}; a verdict about methods needs {MIN_STUDIES} complete "
        "searches of every arm (--study names their column), fewer only compare configurations",
    )
    cost = "steps are converted into gradient evaluations by their cost"
    if not curves.has_gradients:
        why = "some runs have no" if "gradients" in curves.columns else "there is no column of"
        cost = f"the cost of a step in each arm is unknown: {why} gradient evaluations"
    yield Clause(name="cost of a step", kept=curves.has_gradients or None, text=cost)
    for name, text in UNSEEN.items():
        yield Clause(name=name, kept=None, text=f"{text} is not in the curves")


def _schedules(curves: Curves, arms: Sequence[Arm]) -> Clause:
    """Whether every run ended at the end of its schedule."""
    lost = [f"{s.arm} {s.lost} of {len(s.runs)} at {s.horizon}" for a in arms for s in a.sides if s.lost]
    if unplanned := sum(not run.is_planned for run in curves.runs):
        why = (
            f"{unplanned} runs have no horizon"
            if "horizon" in curves.columns
            else "there is no column of horizons"
        )
        text = f"it is unknown whether every run completed its schedule: {why}"
        if lost:
            text += f"; fewer than {MIN_SEEDS} runs of an arm end before the others, or diverged: {'; '.join(lost)}"
        return Clause(name="schedules", kept=False if lost else None, text=text)
    text = f"every run must end at its horizon with a finite {curves.metric.words}"
    if lost:
        text += (
            f"; these did not, and their arms are not judged: {'; '.join(lost)} (--horizon none reads runs "
        )
        text += "at their last step, whatever their schedule)"
    return Clause(name="schedules", kept=not lost, text=text)
