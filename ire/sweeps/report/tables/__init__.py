"""The tables of a report, in their order."""

from collections.abc import Iterator

from ire.sweeps.findings.results import Results
from ire.sweeps.report.tables.conduct import contract, faults
from ire.sweeps.report.tables.controls import controls, flatness
from ire.sweeps.report.tables.masks import boosted_coordinates, masks
from ire.sweeps.report.tables.search import grid, searches, tuning_efforts
from ire.sweeps.report.tables.table import Table
from ire.sweeps.report.tables.verdict import clocks, metrics, other_ratios, paper, result_table


def tables(results: Results) -> Iterator[Table]:
    """Every table that has lines, after the table of results, which is always there."""
    yield result_table(results)
    for table in (
        clocks(results),
        metrics(results),
        paper(results),
        grid(results),
        other_ratios(results),
        controls(results),
        searches(results),
        tuning_efforts(results),
        flatness(results),
        masks(results),
        *boosted_coordinates(results),
        contract(results),
        faults(results),
    ):
        if table.lines:
            yield table
