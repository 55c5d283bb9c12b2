"""One colour, line and marker for each method, the same in every figure of every report.

The hues are Okabe and Ito's, which people with the common colour-blindnesses tell apart. A base optimizer and IRE
around it share a hue: the base is the lighter one, dashed, with round markers, IRE the darker one, solid, with
triangles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ire.methods.method import parse_method

OTHERS = ("#000000", "#8C8C2E", "#7A4B2A", "#5B5B5B", "#88419D", "#B07AA1", "#4D7C8A", "#A34A5C")
"""For every method whose base has no hues of its own, in the order of the sweep."""
CONTROL_COLOUR = "#8A8A8A"


@dataclass(frozen=True)
class Style:
    """How a method looks."""

    colour: str
    line: str
    marker: str


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """The style of each method of a sweep."""
    found, spare = {}, iter(OTHERS * len(methods))
    for name in methods:
        method = parse_method(name)
        line, marker = ("-", "^") if method.ire else ((0, (5, 2)), "o")
        hues = method.hues
        colour = hues[int(method.ire)] if hues else next(spare)
        if method.control:
            line, marker = ":", "X"
        found[name] = Style(colour, line, marker)
    return found
