"""The tables of IRE's masks: whether they differ from random ones, and which coordinates they boost."""

from collections.abc import Iterator

from ire.methods.foreign import shortened
from ire.sweeps.findings.boosted import Part, boosted_parts, together
from ire.sweeps.findings.results import Results
from ire.sweeps.report.tables.controls import with_controls
from ire.sweeps.report.tables.table import Table, plus_minus

MASK_HEADS = {
    "mask_overlap": "overlap with the previous mask",
    "zero_curvature": "curvatures exactly zero",
    "flat_fraction": "boosted share",
}
MOST = 16
"""Lines of a table of coordinates; the smallest parts of a larger model share one, and `report.json` has all."""


def masks(results: Results) -> Table:
    """Whether IRE's masks differ from random ones, at the end of the confirm runs."""
    lines = [
        [name, *(plus_minus(found.metric(key), digits=3) for key in MASK_HEADS)]
        for name, found in with_controls(results)
        if found.metric("mask_overlap")
    ]
    return Table(
        title="Masks at the end: the overlap is near 0 for random masks and 1 for equal ones",
        heads=["method", *MASK_HEADS.values()],
        lines=lines,
    )


def boosted_coordinates(results: Results) -> Iterator[Table]:
    """For each method with masks, which coordinates the last ones of its confirm runs boost."""
    for row in results.comparison.rows:
        parts = boosted_parts(row.runs)
        if not parts:
            continue
        largest = sorted(parts, key=lambda part: -part.coordinates)[: MOST - 1]
        shown = parts if len(parts) <= MOST else [part for part in parts if part in largest]
        others = [part for part in parts if part not in shown]
        lines = [_line(part) for part in shown]
        if others:
            lines.append(_line(together(others, row.runs, f"{sum(part.tensors for part in others)} others")))
        lines.append(_line(together(parts, row.runs, "all")))
        yield Table(
            title=f"Coordinates boosted by {shortened(row.method)}",
            heads=["parameters", "tensors", "coordinates", "boosted share", "lowest and highest run"],
            lines=lines,
        )


def _line(part: Part) -> list[str]:
    return [
        part.names,
        str(part.tensors),
        f"{part.coordinates:,}",
        f"{part.share:.3f}",
        f"{part.low:.3f} to {part.high:.3f}",
    ]
