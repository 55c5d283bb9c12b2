"""The report of several sweeps: a table of all tasks, geometric means, and performance profiles."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ire.foreign_text import in_markdown
from ire.storage.whole_file import write_whole
from ire.sweeps.findings.pooling import MIN_PROFILE_TASKS, PooledSweeps, profile
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import FASTER, SLOWER
from ire.sweeps.plan.options import MIN_STUDIES
from ire.sweeps.report.drawing.palette import Style, styles
from ire.sweeps.report.drawing.panel import Axis, Panel, Series
from ire.sweeps.report.drawing.picture import Picture
from ire.sweeps.report.formats.data import write_facts
from ire.sweeps.report.formats.markdown import markdown_table
from ire.sweeps.report.formats.page import rendered
from ire.sweeps.report.pooled_schema import SCHEMA, PooledFacts, PooledSpeedUpFacts
from ire.sweeps.report.sentences.headline import headline
from ire.sweeps.report.sentences.parts import names_joined
from ire.sweeps.report.tables.table import Table


def pooled_tables(sweeps: PooledSweeps) -> list[Table]:
    """One table per clock: a row per method, a column per task, then the geometric mean and the verdict."""
    return [_table(sweeps, clock) for clock in CLOCKS]


def _table(sweeps: PooledSweeps, clock: str) -> Table:
    verdicts = sweeps.verdicts(clock)
    columns = [e.plan.task if len(s) == 1 else e.plan.name for s in sweeps.tasks.values() for e in s]
    lines: list[list[str]] = []
    for method in sweeps.methods:
        cells: list[str] = []
        for studies in sweeps.tasks.values():
            for experiment in studies:
                row = experiment.comparison.row(method)
                found = row.speed_ups.get(clock)
                cells.append(f"{found} against {row.against[clock]}" if found else "-")
        pooled = sweeps.pooled(method, clock)
        lines.append(
            [method, *cells, f"{pooled[1]} against {pooled[0]}" if pooled else "-", verdicts.get(method, "-")]
        )
    return Table(
        title=f"Speed-up over the tuned baseline that is hardest to beat, in {CLOCKS[clock]}; the mean is over pairs",
        heads=["method", *columns, "geometric mean", "verdict"],
        lines=lines,
    )


def pooled_headline(sweeps: PooledSweeps) -> str:
    """The finding over all tasks, in one sentence."""
    verdicts, count = sweeps.verdicts(sweeps.clock), len(sweeps.tasks)
    over = f"over {count} task{'s' * (count > 1)} and {len(sweeps.experiments)} sweeps"
    clock = CLOCKS[sweeps.clock]
    broken = [e.plan.name for e in sweeps.experiments if not e.comparison.is_comparable]
    if broken:
        return f"No verdict {over}: the contract of {names_joined(broken)} is broken"
    if not verdicts:
        needed = f"{MIN_STUDIES} studies of each task with searches of their own, no lost confirm runs"
        return f"No verdict {over}: a verdict needs {needed}, and baselines that all sweeps share"
    faster, slower = (
        ", ".join(
            f"{name} {pooled[1]} against {pooled[0]}"
            for name, word in verdicts.items()
            if word == wanted and (pooled := sweeps.pooled(name, sweeps.clock))
        )
        for wanted in (FASTER, SLOWER)
    )
    finding = f"Faster than every tuned baseline {over}, in {clock}: {faster}"
    if not faster:
        finding = f"No method is shown to be faster than every tuned baseline {over}, in {clock}"
    return f"{finding}; slower: {slower}" if slower else finding


def pooled_json(sweeps: PooledSweeps) -> PooledFacts:
    """The report as plain data: `report.json`."""

    def pooled(method: str, clock: str) -> PooledSpeedUpFacts | None:
        found = sweeps.pooled(method, clock)
        if found is None:
            return None
        against, speed_up = found
        return {
            "text": str(speed_up),
            "against": against,
            "value": speed_up.ratio.value,
            "p_faster": speed_up.p_faster,
        }

    ratios = sweeps.profile_ratios(sweeps.clock)
    return {
        "schema": SCHEMA,
        "headline": pooled_headline(sweeps),
        "clock": sweeps.clock,
        "sweeps": [
            {"name": e.plan.name, "task": e.plan.task, "headline": headline(e)} for e in sweeps.experiments
        ],
        "methods": {
            method: {
                "geometric_mean": {clock: pooled(method, clock) for clock in CLOCKS},
                "verdict": {clock: sweeps.verdicts(clock).get(method) for clock in CLOCKS},
            }
            for method in sweeps.methods
        },
        "profile_ratios": {
            method: [float(r) if np.isfinite(r) else None for r in found] for method, found in ratios.items()
        },
    }


def profiles(sweeps: PooledSweeps) -> Picture | None:
    """Performance profiles on the clock of the headline; None with too few tasks."""
    ratios = sweeps.profile_ratios(sweeps.clock)
    if not ratios:
        return None
    looks = styles([sweeps.experiments[0].plan.method(name) for name in sweeps.methods])
    return Picture(
        name="profiles",
        title="Performance profiles",
        caption=f"The share of {len(sweeps.tasks)} tasks on which a method reached the target, the final loss of the "
        f"best baseline, in at most τ times the time of the fastest, in {CLOCKS[sweeps.clock]}. Higher is better.",
        panels=[_profiles(ratios, looks)],
        styles=looks,
        width=7.0,
        height=3.6,
    )


def _profiles(ratios: Mapping[str, np.ndarray], looks: Mapping[str, Style]) -> Panel:
    finite = np.concatenate([found[np.isfinite(found)] for found in ratios.values()])
    at = np.geomspace(1, max(4.0, 1.1 * finite.max(initial=1.0)), 500)
    series = [
        Series(name=method, style=looks[method], x=at, y=profile(found, at), stepped=True)
        for method, found in ratios.items()
    ]
    return Panel(
        x=Axis(label="τ", low=1.0, high=float(at[-1])),
        y=Axis(label="share of tasks", low=-0.02, high=1.03),
        series=series,
    )


def write_pooled(sweeps: PooledSweeps, folder: Path) -> Path:
    """Write `report.html`, `report.md` and `report.json` of all sweeps into `folder`; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    tables, sentence = pooled_tables(sweeps), pooled_headline(sweeps)
    write_facts(pooled_json(sweeps), folder)
    parts = [f"**{in_markdown(sentence)}**", ""]
    for table in tables:
        parts += [f"**{in_markdown(table.title)}**", "", *markdown_table(table), ""]
    parts += [f"- {in_markdown(f'{e.plan.name}: {headline(e)}')}" for e in sweeps.experiments]
    write_whole(folder / "report.md", "\n".join([*parts, ""]))
    picture = profiles(sweeps)
    if picture:
        picture.write(folder)
    page = folder / "report.html"
    text = rendered(
        "pooled_sweeps",
        title="Several sweeps",
        headline=sentence,
        sweeps=[(e.plan.name, headline(e)) for e in sweeps.experiments],
        tables=tables,
        profiles=picture,
        needed=MIN_PROFILE_TASKS,
    )
    write_whole(page, text)
    return page
