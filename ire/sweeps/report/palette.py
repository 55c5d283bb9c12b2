"""One colour, line and marker for each method, the same in every figure of every report.

The hues are Okabe and Ito's, which people with the common colour-blindnesses tell apart. A base optimizer and IRE
around it share a hue: the base is the lighter one, dashed, with round markers, IRE the darker one, solid, with
triangles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ire.methods.method import parse_method

HUES = {
    "sgd": ("#56B4E9", "#0072B2"),
    "adamw": ("#E69F00", "#C24E00"),
    "sam-sgd": ("#6CC7A6", "#00734F"),
    "sam-adamw": ("#DDA0C4", "#A0447C"),
}
"""By base, with SAM or not: the lighter for itself, the darker for IRE around it."""
OTHERS = ("#000000", "#8C8C2E", "#7A4B2A", "#5B5B5B", "#88419D", "#B07AA1", "#4D7C8A", "#A34A5C")
"""For every other method, in the order of the sweep."""
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
        base = method.ancestors[-3 if method.control else -2] if method.ire else name
        line, marker = ("-", "^") if method.ire else ((0, (5, 2)), "o")
        has_hue = base in HUES and not method.control
        colour = HUES[base][int(method.ire)] if has_hue else next(spare)
        if method.control:
            line, marker = ":", "X"
        found[name] = Style(colour, line, marker)
    return found
