"""A table of a report as data, and the texts of its cells."""

import re
from dataclasses import dataclass

from ire.foreign_text import visible
from ire.methods.foreign import shortened
from ire.sweeps.findings.rows import Measured

TEXT = (
    *("method", "control", "what it is", "verdict", "against", "clock", "winner", "settings", "clause", ""),
    *("trial", "event", "cause", "status", "experiment", "started", "task", "parameters"),
)
"""Columns that hold words; the others hold numbers."""

LARGEST_SHOWN = 100
"""A detectable speed-up above this is printed as `nothing`: no method reaches it."""

FRAME = re.compile(r'\s+File ".*", line \d+')


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a title, column heads and cells."""

    title: str
    heads: list[str]
    lines: list[list[str]]

    def __post_init__(self) -> None:
        """Shorten the names of methods."""
        object.__setattr__(self, "heads", [shortened(head) for head in self.heads])
        object.__setattr__(self, "lines", [[shortened(cell) for cell in line] for line in self.lines])


def speed_up(measured: Measured, clock: str) -> str:
    return str(measured.speed_ups.get(clock, "-"))


def plus_minus(value: tuple[float, float | None] | None, *, digits: int = 4, fixed: bool = True) -> str:
    if not value:
        return "-"
    kind = f".{digits}f" if fixed else f".{digits - 1}g"
    if value[1] is None:  # of a single run
        return f"{value[0]:{kind}}"
    return f"{value[0]:{kind}} ±{value[1]:{kind if fixed else '.2g'}}"


def gist(text: str) -> str:
    """The line of an error that says most, and no more than a table can hold: the first of the exception behind the
    last frame of a traceback, since advice may follow in its message; the last line of any other text.
    """
    lines = [line.rstrip() for line in visible(text).splitlines() if line.strip()] or [""]
    frames = [at for at, line in enumerate(lines) if FRAME.match(line)]
    behind = range(frames[-1] + 1, len(lines)) if frames else ()
    at = next((at for at in behind if not lines[at].startswith(" ")), len(lines) - 1)
    told = lines[at].strip()
    if told.endswith(":") and at + 1 < len(lines):  # the message begins on a line of its own
        told = f"{told} {lines[at + 1].strip()}"
    return told if len(told) <= 160 else f"{told[:157]}..."
