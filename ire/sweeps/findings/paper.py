"""A paper's numbers beside ours, for a sweep that repeats one of its experiments."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Row
from ire.sweeps.plan.preset import load_preset

SECONDS_PER_STEP = "seconds_per_step"


@dataclass(frozen=True, kw_only=True)
class Beside:
    """One number of the paper, and ours."""

    method: str
    metric: str
    paper: float
    ours: float | None
    """The mean over the confirm seeds; None before there are any runs."""
    spread: float | None
    """Their standard deviation; None of a single one."""

    @property
    def difference(self) -> float | None:
        return None if self.ours is None else self.ours - self.paper


def beside_the_paper(results: Results) -> Iterator[Beside]:
    """The paper's numbers and ours, method by method; nothing for a sweep without a preset."""
    if results.plan.preset is None:
        return
    rows = {row.method: row for row in results.comparison.rows}
    for method, values in load_preset(results.plan.preset).paper.items():
        for metric, paper in values.items():
            found = _ours(rows[method], metric) if method in rows else None
            mean, spread = found if found is not None else (None, None)
            yield Beside(method=method, metric=metric, paper=paper, ours=mean, spread=spread)


def _ours(row: Row, metric: str) -> tuple[float, float | None] | None:
    if metric != SECONDS_PER_STEP:
        return row.metric(metric)
    seconds = [run.seconds / run.step for run in row.runs if run.step]
    return (median(seconds), max(seconds) - min(seconds)) if seconds else None
