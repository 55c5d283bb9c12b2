"""The report of an experiment: one table, told four ways - on the terminal, as Markdown, JSON and a page."""

import base64
import html
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from sweeps.comparison import Comparison, Row, short_settings
from sweeps.records import DIVERGED, FAILED, FINISHED, PRUNED, RUNNING
from sweeps.speedup import CLOCKS, MARGIN, MIN_SEEDS

if TYPE_CHECKING:
    from pathlib import Path

    from sweeps.experiment import Experiment

SCHEMA = 1
TEXT = ("method", "verdict", "best trial", "best settings")
"""Columns that hold words; the others hold numbers."""
ENDS = (FINISHED, PRUNED, DIVERGED, FAILED)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
"""Okabe and Ito's colour-blind safe palette, one a method in the sweep's order."""


def results(experiment: "Experiment") -> tuple[list[str], list[list[str]]]:
    """Heads and lines of the first table: what each method reached, and how soon."""
    comparison = experiment.comparison
    metrics = [f"{split} {name}" for split in ("val", "test") for name in comparison.metrics]
    heads = ["method", *metrics, "speed-up: steps", "gradients", "wall-clock", "verdict", "seeds"]
    lines = [
        [
            row.method + (" (baseline)" if row.method == comparison.baseline else ""),
            *(_plus_minus(row.metric(name.replace(" ", "_"))) for name in metrics),
            *(_speed_up(comparison, row, clock) for clock in CLOCKS),
            row.speed_ups["wall"].verdict if row.speed_ups else "-",
            _seeds(row, experiment.plan.confirm_seeds),
        ]
        for row in comparison.rows
    ]
    return heads, lines


def searches(experiment: "Experiment") -> tuple[list[str], list[list[str]]]:
    """Heads and lines of the second table: what the search of each method found, and what it cost."""
    plan = experiment.plan
    heads = ["method", *ENDS, "gradients spent", "training", "best trial", "best settings"]
    lines = [
        [
            row.method,
            *(str(row.statuses[status]) for status in ENDS),
            f"{row.spent}/{plan.budget}",
            f"{row.training_seconds:.1f} s",
            row.winner.name if row.winner else "none finished",
            short_settings(plan, row.winner) if row.winner else "-",
        ]
        for row in experiment.comparison.rows
    ]
    return heads, lines


def terminal_tables(experiment: "Experiment") -> list[Table]:
    """Both tables for a terminal or a log."""
    tables = []
    for title, (heads, lines) in (
        (headline(experiment), results(experiment)),
        ("search", searches(experiment)),
    ):
        table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False)
        for name in heads:
            left = name in ("method", "verdict", "best trial", "best settings")
            table.add_column(
                name, justify="left" if left else "right", overflow="fold", no_wrap=name == "method"
            )
        for line in lines:
            table.add_row(*line)
        tables.append(table)
    return tables


def headline(experiment: "Experiment") -> str:
    """What was found, in one sentence, honest about what is missing."""
    comparison, plan = experiment.comparison, experiment.plan
    if comparison.baseline is None:
        told = (
            "no baseline has been confirmed yet"
            if not comparison.is_complete
            else "there is no baseline to compare with"
        )
    else:
        faster = [
            r.method for r in comparison.rows if r.speed_ups and r.speed_ups["wall"].verdict == "faster"
        ]
        told = (
            f"{' and '.join(faster)} faster than the best tuned baseline, {comparison.baseline}"
            if faster
            else f"no method is shown to be faster than the best tuned baseline, {comparison.baseline}"
        )
    if not comparison.is_complete:
        running = sum(t.status == RUNNING for t in experiment.records.trials.values())
        seeds = ", ".join(
            f"{row.method} {len(row.confirmed)} of {plan.confirm_seeds}"
            for row in comparison.rows
            if row.winner
        )
        told += f" (incomplete: {running} trials unfinished; confirm seeds so far: {seeds or 'none'})"
    return f"{plan.task}: {told}"


NOTE = (
    "Speed-up: time of the baseline to its own mean final validation loss, over the method's time to the same loss, on "
    "mean curves of the confirm runs, paired by seed; 95 % bootstrap interval over seeds. Above 1 is faster; 'faster' "
    f"needs the whole interval above {MARGIN}, 'slower' below 1. ≤: the target was not reached. A gradient is one "
    "gradient of a full batch: SAM's step costs two, a mask one. Wall-clock: steps at the step time of the method's "
    f"median run. No verdict below {MIN_SEEDS} seeds, or where a confirm run diverged or failed. Values are mean ± "
    "standard deviation over confirm seeds."
)


def write_report(experiment: "Experiment") -> "Path":
    """Write the report's files into `report/` of the folder; returns the page."""
    folder = experiment.folder / "report"
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(json.dumps(as_json(experiment), indent=1, allow_nan=False) + "\n")
    (folder / "report.md").write_text(as_markdown(experiment), encoding="utf-8")
    page = folder / "report.html"
    page.write_text(as_html(experiment), encoding="utf-8")
    return page


def as_json(experiment: "Experiment") -> dict[str, Any]:
    """The comparison as plain data."""
    comparison, plan = experiment.comparison, experiment.plan
    return {
        "schema": SCHEMA,
        "task": plan.task,
        "complete": comparison.is_complete,
        "baseline": comparison.baseline,
        "budget_gradient_evaluations": plan.budget,
        "elapsed_seconds": experiment.elapsed_seconds,
        "methods": [
            {
                "method": row.method,
                "winner": row.winner.name if row.winner else None,
                "settings": dict(row.winner.spec.settings) if row.winner else None,
                "confirm_seeds": len(row.confirmed),
                "metrics": {
                    f"{split}_{name}": dict(zip(("mean", "std"), row.metric(f"{split}_{name}"), strict=True))
                    for name in comparison.metrics
                    for split in ("val", "test")
                    if row.metric(f"{split}_{name}")
                },
                "speed_up": {
                    clock: {
                        "value": s.ratio.value,
                        "censored": s.ratio.censored,
                        "low": s.low.value,
                        "low_censored": s.low.censored,
                        "high": s.high.value,
                        "high_censored": s.high.censored,
                        "seeds": s.seeds,
                        "verdict": s.verdict,
                    }
                    for clock, s in row.speed_ups.items()
                },
                "search_trials": row.statuses,
                "confirm_trials": row.confirm_statuses,
                "gradient_evaluations": row.spent,
                "training_seconds": row.training_seconds,
            }
            for row in comparison.rows
        ],
    }


def as_markdown(experiment: "Experiment") -> str:
    """The tables for a pull request."""
    parts = [f"**{headline(experiment)}**", ""]
    for heads, lines in (results(experiment), searches(experiment)):
        parts += [f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *lines)] + [""]
    return "\n".join([*parts, NOTE, ""])


def as_html(experiment: "Experiment") -> str:
    """One self-contained page: verdict, curves on three clocks, table."""
    tables = "".join(
        f'<div class="wide">{_html_table(*t)}</div>' for t in (results(experiment), searches(experiment))
    )
    figure = curves_figure(experiment)
    image = (
        f'<img alt="validation loss of the confirm runs" src="data:image/svg+xml;base64,{figure}">'
        if figure
        else ""
    )
    plan = html.escape(experiment.plan.to_toml())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(experiment.plan.name)}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #222 }}
h1 {{ font-size: 1.4rem }} img {{ max-width: 100% }} .wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-size: .85rem; margin: 1rem 0 }}
th, td {{ padding: .35rem .6rem; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top }}
td {{ white-space: nowrap }} .text {{ text-align: left }} td.text:last-child {{ white-space: normal; min-width: 6rem }}
pre {{ background: #f6f6f6; padding: 1rem; overflow-x: auto; font-size: .8rem }} p {{ max-width: 60rem }}
</style></head><body>
<h1>{html.escape(headline(experiment))}</h1>
{image}
{tables}
<p>{html.escape(NOTE)}</p>
<details><summary>The whole sweep, to run it again</summary><pre>{plan}</pre></details>
</body></html>
"""


def _html_table(heads: list[str], lines: list[list[str]]) -> str:
    kinds = [' class="text"' if name in TEXT else "" for name in heads]

    def row(tag: str, line: list[str]) -> str:
        cells = (f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, line, strict=True))
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(row("td", line) for line in lines)
    return f"<table><thead>{row('th', heads)}</thead><tbody>{body}</tbody></table>"


def curves_figure(experiment: "Experiment") -> str | None:
    """Mean validation curves of the confirm runs on two clocks, one standard deviation shaded (SVG, base64)."""
    rows = [row for row in experiment.comparison.rows if row.confirmed]
    if not rows:
        return None
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasSVG(figure)
    colours = {row.method: COLOURS[i % len(COLOURS)] for i, row in enumerate(experiment.comparison.rows)}
    clocks = [("step", "optimizer steps"), ("gradient_evaluations", "gradient evaluations")]
    for axes, (key, label) in zip(figure.subplots(1, 2, sharey=True), clocks, strict=True):
        for row in rows:
            losses = np.array([[report["val_loss"] for report in trial.reports] for trial in row.confirmed])
            times = [report[key] for report in row.confirmed[0].reports]
            mean, std = losses.mean(axis=0), losses.std(axis=0)
            axes.plot(times, mean, label=row.method, color=colours[row.method], lw=1.6)
            axes.fill_between(times, mean - std, mean + std, color=colours[row.method], alpha=0.12, lw=0)
        axes.set_xlabel(label)
        axes.set_yscale("log")
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("validation loss (nats)")
    figure.axes[1].legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return base64.b64encode(buffer.getvalue()).decode()


def _speed_up(comparison: Comparison, row: Row, clock: str) -> str:
    if row.method == comparison.baseline:
        return "1"
    return str(row.speed_ups[clock]) if row.speed_ups else "-"


def _seeds(row: Row, planned: int) -> str:
    """How many confirm runs are behind a line: `5/5`, or `3/5, 2 diverged`."""
    lost = [f"{row.confirm_statuses[s]} {s}" for s in (DIVERGED, FAILED) if row.confirm_statuses[s]]
    return ", ".join([f"{len(row.confirmed)}/{planned}", *lost])


def _plus_minus(value: tuple[float, float] | None) -> str:
    return f"{value[0]:.4f} ±{value[1]:.4f}" if value else "-"
