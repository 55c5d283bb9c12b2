"""One colour, line and marker for each method, the same in every figure of every report.

The hues are Okabe and Ito's, which people with common colour blindness can tell apart. A base optimizer and IRE
around it share a hue: the base is the lighter one, dashed, with round markers, IRE the darker one, solid, with
triangles.
"""

from collections.abc import Sequence
from colorsys import hls_to_rgb, rgb_to_hls
from dataclasses import dataclass
from typing import Literal

from ire.methods.composed import Method

OTHERS = ("#000000", "#8C8C2E", "#7A4B2A", "#5B5B5B", "#88419D", "#B07AA1", "#4D7C8A", "#A34A5C")
"""Hues for methods whose base has none of its own, in the order of the sweep."""
CONTROL_COLOUR = "#8A8A8A"

Line = Literal["-", ":"] | tuple[int, tuple[int, ...]]
"""Solid, dotted, or an offset and the lengths of dashes and gaps, as matplotlib takes them."""

LIGHTNESS_ON_DARK = 0.62
"""Minimum lightness of a colour on a dark page, 0 to 1."""
SATURATION_ON_DARK = 0.7
"""Maximum saturation of a colour on a dark page, 0 to 1."""


@dataclass(frozen=True)
class Style:
    """Colour, line and marker of one method."""

    colour: str
    line: Line
    marker: str

    @property
    def on_dark(self) -> str:
        """The colour in the same hue, light enough for a dark page."""
        red, green, blue = (int(self.colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        hue, lightness, saturation = rgb_to_hls(red, green, blue)
        found = hls_to_rgb(hue, max(lightness, LIGHTNESS_ON_DARK), min(saturation, SATURATION_ON_DARK))
        return "#" + "".join(f"{round(255 * part):02X}" for part in found)


def styles(methods: Sequence[Method]) -> dict[str, Style]:
    """The style of each method of a sweep, by its name."""
    found: dict[str, Style] = {}
    spare = iter(OTHERS * len(methods))
    for method in methods:
        line: Line = "-" if method.ire else (0, (5, 2))
        marker = "^" if method.ire else "o"
        hues = method.hues
        colour = hues[int(method.ire)] if hues else next(spare)
        if method.control:
            line, marker = ":", "X"
        found[method.name] = Style(colour, line, marker)
    return found
