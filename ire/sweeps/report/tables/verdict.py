"""The tables of the verdict: each method against the baselines on every clock, and against the paper."""

from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.paper import beside_the_paper
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Row, published
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.plan.preset import load_preset
from ire.sweeps.records.records import DIVERGED, FAILED
from ire.sweeps.report.sentences.headline import headline
from ire.sweeps.report.tables.table import LARGEST_SHOWN, Table, plus_minus, speed_up


def result_table(results: Results) -> Table:
    """The verdict on each method on the clock of the headline, with the final value that is judged."""
    comparison = results.comparison
    clock = comparison.clock
    value = f"{comparison.judged_on} {comparison.metric.words}"
    heads = ["method", "verdict", f"{CLOCKS[clock]} speed-up", "against", value, "runs"]
    planned = results.plan.confirm_seeds * results.plan.studies
    lines = [
        [
            row.method + (" (baseline)" if row.is_baseline else ""),
            _verdict(comparison, row, clock),
            speed_up(row, clock),
            row.against.get(clock, "-"),
            _mean(row.metric(comparison.judged)),
            _runs(row, planned),
        ]
        for row in comparison.rows
    ]
    return Table(title=headline(results), heads=heads, lines=lines)


def _mean(value: tuple[float, float | None] | None) -> str:
    return f"{value[0]:.4f}" if value else "-"


def clocks(results: Results) -> Table:
    """The verdict and the speed-up on every clock, and the smallest speed-up that could have been detected."""
    comparison = results.comparison
    lines = [
        [
            row.method,
            words,
            _verdict(comparison, row, clock),
            speed_up(row, clock),
            row.against[clock],
            _least(row, clock),
        ]
        for row in comparison.rows
        for clock, words in CLOCKS.items()
        if clock in row.speed_ups
    ]
    heads = ["method", "clock", "verdict", "speed-up", "against", "detectable"]
    return Table(title="Every clock", heads=heads, lines=lines)


def _least(row: Row, clock: str) -> str:
    if clock not in row.powers:
        return "-"
    least = row.powers[clock].least_detectable
    return f"{least:.2f}" if least < LARGEST_SHOWN else "nothing"


def metrics(results: Results) -> Table:
    """What each method reached: mean and standard deviation over its confirm runs."""
    comparison = results.comparison
    names = [f"{split} {name}" for split in ("val", "test") for name in comparison.metrics]
    lines = [
        [row.method, *(plus_minus(row.metric(name.replace(" ", "_"))) for name in names)]
        for row in comparison.rows
        if row.runs
    ]
    return Table(title="Confirm runs", heads=["method", *names], lines=lines)


def other_ratios(results: Results) -> Table:
    """Other ratios that the literature uses, and checks of the speed-up."""
    comparison = results.comparison
    clock, words = comparison.clock, CLOCKS[comparison.clock]
    heads = [
        "method",
        f"S by validation {comparison.metric.words}",
        "S of published settings",
        "time to target",
        "best run: steps",
        f"best run: {words}",
        f"{comparison.metric.words} minus that of its base",
    ]
    lines: list[list[str]] = []
    for row in comparison.rows:
        untuned = published(row)
        cells = [
            str(row.validation_speed_ups.get(clock, "-")),
            speed_up(untuned, clock) if untuned and untuned is not row else "-",
            str(row.time_to_target.get(clock, "-")),
            str(row.best_run.get("step", "-")),
            str(row.best_run.get(clock, "-")),
            str(row.against_base or "-"),
        ]
        if untuned is row and row.winners:
            cells[1] = "these won"
        if any(cell != "-" for cell in cells):
            lines.append([row.method, *cells])
    return Table(title=f"Other ratios, in {words} unless stated otherwise", heads=heads, lines=lines)


def paper(results: Results) -> Table:
    """The paper's numbers beside ours, for a sweep of a preset."""
    lines = [
        [
            beside.method,
            beside.metric.replace("_", " "),
            f"{beside.paper:.4f}",
            "" if beside.ours is None else plus_minus((beside.ours, beside.spread)),
            "" if beside.difference is None else f"{beside.difference:+.4f}",
        ]
        for beside in beside_the_paper(results)
    ]
    heads = ["method", "what it is", "paper", "ours", "difference"]
    preset = results.plan.preset
    of = load_preset(preset).paper_of if preset is not None else None
    title = "Beside the paper" + (f": its numbers are from {of}, ours from the last step" if of else "")
    return Table(title=title, heads=heads, lines=lines)


def _verdict(comparison: Comparison, row: Row, clock: str) -> str:
    """The verdict on one clock; with fewer than three studies, whether the configuration ends better or worse."""
    if not comparison.is_comparable:
        return "not comparable"
    if comparison.judges_methods:
        return row.verdicts.get(clock, "-")
    if row.against_best is None:
        return "-"
    end = comparison.ends(row)
    return f"ends {end}" if end else "not shown"


def _runs(row: Row, planned: int) -> str:
    """How many confirm runs a line is based on: `5/5`, or `3/5, 2 diverged`."""
    lost = [f"{row.confirm_statuses[s]} {s}" for s in (DIVERGED, FAILED) if row.confirm_statuses[s]]
    return ", ".join([f"{len(row.runs)}/{planned}", *lost])
