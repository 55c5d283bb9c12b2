"""The console of commands and sweeps: escapes control characters, hides secrets, survives the loss of its reader."""

from collections.abc import Iterable
from typing import IO, Any, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ire.foreign_text import visible
from ire.sweeps.watch.output import Output


def plain_console(*, file: IO[str] | None = None, waits: bool = True, **options: Any) -> Console:
    """A console that prints text literally: brackets and colons are no markup.

    Control characters are escaped and secrets hidden. A lost reader is ignored; a slow one blocks the writer, unless
    `waits` is False.
    """
    return _Console(markup=False, emoji=False, file=file, waits=waits, **options)


class _Console(Console):
    def __init__(self, *, waits: bool, **options: Any) -> None:
        self._waits = waits
        self._output: Output | None = None
        super().__init__(**options)

    @Console.file.getter
    def file(self) -> IO[str]:
        """The file that it prints to: the current `sys.stdout`, unless one was given."""
        file = super().file
        if self._output is None or not self._output.is_around(file):
            self._output = Output.around(file, waits=self._waits)
        return cast("IO[str]", self._output)  # passes every other call on to the file

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As `rich` does, with text escaped: all output passes through this step."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)
