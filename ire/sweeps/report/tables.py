"""The tables of a report as text, whatever they are printed on."""

from collections.abc import Iterator
from dataclasses import dataclass

from ire.foreign_text import visible
from ire.methods.foreign import shortened
from ire.sweeps.findings.comparison import Comparison, Control, Measured, Row, published, short_settings
from ire.sweeps.findings.paper import beside_the_paper
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.plan.preset import load_preset
from ire.sweeps.records.records import DIVERGED, FAILED, FINISHED, PRUNED
from ire.sweeps.report.words import headline, is_higher, is_lower
from ire.sweeps.search.stages import CONTROL_WORDS, KAPPA_0, PUBLISHED
from trainables.training.flatness import MEASURES

TEXT = (
    *("method", "control", "what it is", "verdict", "winner", "settings", "clause", ""),
    *("trial", "what befell it", "cause", "status"),
)
"""Columns that hold words; the others hold numbers."""
ENDS = (FINISHED, PRUNED, DIVERGED, FAILED)
FLATNESS_HEADS = {
    "fisher_trace": "Tr F",
    "hessian_trace": "Tr H",
    "largest_eigenvalue": "largest eigenvalue of H",
}

MASK_HEADS = {
    "mask_overlap": "overlap with the mask before",
    "zero_curvature": "curvatures exactly zero",
    "flat_fraction": "share that is boosted",
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a title, column heads and cells."""

    title: str
    heads: list[str]
    lines: list[list[str]]

    def __post_init__(self) -> None:
        """Methods stand here by their short names."""
        object.__setattr__(self, "heads", [shortened(head) for head in self.heads])
        object.__setattr__(self, "lines", [[shortened(cell) for cell in line] for line in self.lines])


def tables(results: Results) -> Iterator[Table]:
    """Every table for which there is something to say; the results always, and first."""
    yield result_table(results)
    for table in (
        paper(results),
        grid(results),
        other_ratios(results),
        controls(results),
        searches(results),
        flatness(results),
        masks(results),
        contract(results),
        faults(results),
    ):
        if table.lines:
            yield table


def paper(results: Results) -> Table:
    """What the paper reports beside what was found, for a sweep of a preset."""
    lines = [
        [
            beside.method,
            beside.metric.replace("_", " "),
            f"{beside.paper:.4f}",
            "" if beside.ours is None else _plus_minus((beside.ours, beside.spread)),
            "" if beside.difference is None else f"{beside.difference:+.4f}",
        ]
        for beside in beside_the_paper(results)
    ]
    heads = ["method", "what it is", "paper", "ours", "difference"]
    preset = results.plan.preset
    of = load_preset(preset).paper_of if preset is not None else None
    title = "Beside the paper" + (f": its numbers are of {of}, ours of the last step" if of else "")
    return Table(title=title, heads=heads, lines=lines)


def result_table(results: Results) -> Table:
    """What each method reached, and how much longer the baseline would need."""
    comparison = results.comparison
    metrics = [f"{split} {name}" for split in ("val", "test") for name in comparison.metrics]
    heads = ["method", "verdict", "speed-up: steps", "gradients", "wall-clock", *metrics, "seeds"]
    lines = [
        [
            row.method + (" (baseline)" if row.method == comparison.baseline else ""),
            _verdict(comparison, row),
            *(_speed_up(comparison, row, clock) for clock in CLOCKS),
            *(_plus_minus(row.metric(name.replace(" ", "_"))) for name in metrics),
            _seeds(row, results.plan.confirm_seeds),
        ]
        for row in comparison.rows
    ]
    return Table(title=headline(results), heads=heads, lines=lines)


def other_ratios(results: Results) -> Table:
    """Rivals of the speed-up, and its checks."""
    comparison = results.comparison
    clock, words = comparison.clock, CLOCKS[comparison.clock]
    heads = [
        "method",
        "S by test loss",
        "S of published settings",
        "time to target",
        "best run: steps",
        f"best run: {words}",
        "loss minus that of its base",
    ]
    lines = []
    for row in comparison.rows:
        untuned = published(row)
        cells = [
            str(row.test_speed_ups.get(clock, "-")),
            _speed_up(comparison, untuned, clock) if untuned and untuned is not row else "-",
            str(row.time_to_target.get(clock, "-")),
            str(row.best_run.get("step", "-")),
            str(row.best_run.get(clock, "-")),
            str(row.against_base or "-"),
        ]
        if untuned is row and row.winner is not None:
            cells[1] = "they won"
        if any(cell != "-" for cell in cells):
            lines.append([row.method, *cells])
    return Table(title=f"Other ratios, in {words} where not said", heads=heads, lines=lines)


def controls(results: Results) -> Table:
    """What remains of a method when something is taken away from it."""
    comparison = results.comparison
    heads = [
        *("method", "control", "val loss", "test loss"),
        *(f"speed-up: {CLOCKS['step']}", CLOCKS[comparison.clock]),
        *("method's loss minus control's", "method lower?", "seeds", "what it is"),
    ]
    lines = [
        [
            row.method,
            control.name,
            _plus_minus(control.metric("val_loss")),
            _plus_minus(control.metric("test_loss")),
            _speed_up(comparison, control, "step"),
            _speed_up(comparison, control, comparison.clock),
            str(control.against_method or "-"),
            _is_lower(control),
            f"{len(control.runs)}/{results.plan.confirm_seeds}",
            CONTROL_WORDS[control.name],
        ]
        for row in comparison.rows
        for control in row.controls
    ]
    return Table(title="Controls: is it the curvature?", heads=heads, lines=lines)


def _is_lower(control: Control) -> str:
    """Whether the method ends lower than its control, in words."""
    difference = control.against_method
    return "yes" if is_lower(difference) else "no, higher" if is_higher(difference) else "not shown"


def searches(results: Results) -> Table:
    """What the search of each method found, and what it cost."""
    plan = results.plan
    heads = ["method", *ENDS, "gradients spent", "training", "winner", "settings"]
    lines = [
        [
            row.method,
            *(str(row.statuses[status]) for status in ENDS),
            f"{row.spent}/{plan.budget}",
            f"{row.training_seconds:.1f} s",
            row.winner.name if row.winner else "none finished",
            short_settings(plan, row.winner) if row.winner else "-",
        ]
        for row in results.comparison.rows
    ]
    by = plan.space.search.select
    title = "Search" if by == "val_loss" else f"Search: of the lowest final {by.replace('_', ' ')} the winner"
    return Table(title=title, heads=heads, lines=lines)


def grid(results: Results) -> Table:
    """Every point of a grid that was measured; one seed each, the same."""
    plan = results.plan
    test = [f"test_{name}" for name in results.comparison.metrics]
    metrics = {name: name.replace("_", " ") for name in ("train_loss", *test)} | FLATNESS_HEADS
    lines = [
        [trial.method, short_settings(plan, trial) or "published"]
        + [f"{v:.4g}" if (v := trial.reports[-1].get(name)) is not None else "-" for name in metrics]
        for row in results.comparison.rows
        for trial in row.search
        if plan.space.search.measured and trial.status == FINISHED
    ]
    return Table(title="Grid, one run a point", heads=["method", "settings", *metrics.values()], lines=lines)


def flatness(results: Results) -> Table:
    """How flat each method's solutions are."""
    lines = [
        [name, *(_plus_minus(found.metric(key), digits=4, fixed=False) for key in MEASURES)]
        for name, found in _with_controls(results)
        if found.metric(MEASURES[0])
    ]
    return Table(title="Flatness", heads=["method", *FLATNESS_HEADS.values()], lines=lines)


def masks(results: Results) -> Table:
    """Whether the masks of IRE mean something, at the end of the confirm runs."""
    lines = [
        [
            name,
            *(_plus_minus(found.metric(key), digits=3) if found.metric(key) else "-" for key in MASK_HEADS),
        ]
        for name, found in _with_controls(results)
        if found.metric("mask_overlap")
    ]
    return Table(
        title="Masks at the end: an overlap near 0 is that of random masks, 1 of equal ones",
        heads=["method", *MASK_HEADS.values()],
        lines=lines,
    )


def _with_controls(results: Results) -> list[tuple[str, Measured]]:
    """Each method and its controls, but for those that differ from it by settings alone."""
    measured: list[tuple[str, Measured]] = []
    for row in results.comparison.rows:
        measured.append((row.method, row))
        measured += [
            (f"{row.method}: {c.name}", c) for c in row.controls if c.name not in (KAPPA_0, PUBLISHED)
        ]
    return measured


def contract(results: Results) -> Table:
    """The fairness contract, clause by clause."""
    words = {True: "kept", False: "BROKEN", None: "not yet"}
    return Table(
        title="Fairness contract",
        heads=["clause", "kept", ""],
        lines=[[c.name, words[c.kept], c.text] for c in results.comparison.contract],
    )


def faults(results: Results) -> Table:
    """What went wrong with trials and did not come of their settings: dead workers, hangs, exceptions."""
    lines = []
    for trial in results.records.trials.values():
        for fault in trial.faults:
            lines.append([trial.name, fault.kind, last_line(fault.cause), trial.status])
        if trial.status == FAILED:
            lines.append([trial.name, "given up", last_line(trial.error or ""), trial.status])
    return Table(title="Faults", heads=["trial", "what befell it", "cause", "status"], lines=lines)


def last_line(text: str) -> str:
    """The line of a traceback that says most, and no more than a table can hold."""
    last = visible(text).strip().rpartition("\n")[2].strip()
    return last if len(last) <= 160 else f"{last[:157]}..."


def _verdict(comparison: Comparison, row: Row) -> str:
    if row.method == comparison.baseline:
        return "-"
    if not comparison.is_comparable:
        return "not comparable"
    return row.verdicts.get(comparison.clock, "-")


def _speed_up(comparison: Comparison, measured: Measured, clock: str) -> str:
    if isinstance(measured, Row) and measured.method == comparison.baseline:
        return "1"
    return str(measured.speed_ups[clock]) if measured.speed_ups else "-"


def _seeds(row: Row, planned: int) -> str:
    """How many confirm runs are behind a line: `5/5`, or `3/5, 2 diverged`."""
    lost = [f"{row.confirm_statuses[s]} {s}" for s in (DIVERGED, FAILED) if row.confirm_statuses[s]]
    return ", ".join([f"{len(row.confirmed)}/{planned}", *lost])


def _plus_minus(value: tuple[float, float] | None, *, digits: int = 4, fixed: bool = True) -> str:
    if not value:
        return "-"
    kind = f".{digits}f" if fixed else f".{digits - 1}g"
    return f"{value[0]:{kind}} ±{value[1]:{kind if fixed else '.2g'}}"
