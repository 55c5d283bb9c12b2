"""A figure: panels that are drawn side by side in a file, and one by one on the page.

matplotlib is imported when used.
"""

# matplotlib types its methods except for their keywords, and its canvases not at all
# pyright: reportUnknownMemberType=false

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ire.methods.foreign import shortened
from ire.storage.whole_file import write_whole
from ire.sweeps.report.drawing.axes import draw
from ire.sweeps.report.drawing.panel import Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

    from ire.sweeps.report.drawing.palette import Style

RC: "dict[RcKeyType, Any]" = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.edgecolor": "#777777",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.labelsize": 10,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "svg.hashsalt": "ire",
    "svg.fonttype": "path",
}
WIDTH, HEIGHT = 4.05, 3.2
"""Size of one panel, in inches."""
PIXELS = 76
"""Pixels per inch on the page."""
DPI = 150
"""Pixels per inch in a PNG file."""
COLUMNS = 3
LEGEND_ENTRY = 1.7
"""Width of a legend entry, in inches."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of one or more panels."""

    name: str
    """The name of its files, without suffix."""
    title: str
    caption: str
    panels: Sequence[Panel]
    styles: Mapping[str, "Style"] = field(default_factory=dict[str, "Style"])
    """The entries of its legend."""
    width: float = WIDTH
    height: float = HEIGHT

    @property
    def zooms(self) -> bool:
        """Whether the reader can zoom in: not if an axis has names instead of numbers."""
        return any(not panel.y.ticks for panel in self.panels)

    @property
    def pixels(self) -> int:
        """The height of a panel on the page, in pixels."""
        return round(1.15 * PIXELS * self.height)

    @property
    def pixels_wide(self) -> int:
        """The minimum width of a panel on a wide page, in pixels."""
        return round(PIXELS * self.width)

    def write(self, folder: Path) -> None:
        """Write all panels with a legend into `folder`, as SVG and PNG."""
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        figure, png, svg = self._figure(), io.BytesIO(), io.BytesIO()
        with matplotlib.rc_context(RC):
            # not `savefig`, which draws and lays out everything twice in each format
            FigureCanvasAgg(figure).print_png(png)
            figure.set_layout_engine("none")  # it stays as it was laid out
            FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
        write_whole(folder / f"{self.name}.png", png.getvalue())
        write_whole(folder / f"{self.name}.svg", svg.getvalue())

    def _figure(self) -> "Figure":
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D

        columns = min(COLUMNS, len(self.panels))
        rows = -(-len(self.panels) // columns)
        size = (self.width * columns, self.height * rows + (0.35 if self.styles else 0))
        with matplotlib.rc_context(RC):
            figure = Figure(figsize=size, dpi=DPI, layout="constrained")
            grid = list(figure.subplots(rows, columns, squeeze=False).flat)
            for panel, axes in zip(self.panels, grid, strict=False):
                draw(panel, axes)
            for axes in grid[len(self.panels) :]:
                axes.set_visible(False)
            if self.styles:
                handles = [
                    Line2D(
                        [],
                        [],
                        color=s.colour,
                        linestyle=s.line,
                        marker=s.marker,
                        markersize=5,
                        label=shortened(name),
                    )
                    for name, s in self.styles.items()
                ]
                figure.legend(
                    handles=handles,
                    loc="outside lower center",
                    ncols=max(1, min(len(handles), int(size[0] / LEGEND_ENTRY))),
                    handlelength=2.8,
                    frameon=False,
                )
        return figure
