"""The console that commands and sweeps print on: what it prints can do no harm, and nobody has to read it."""

from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ire.foreign_text import visible
from ire.sweeps.watch.output import Output


def plain_console(*, file: IO[str] | None = None, waits: bool = True, **options: Any) -> Console:
    """A console that prints settings and errors as they are: their brackets and colons are no markup.

    Control characters are shown and secrets hidden, whatever is printed. A reader that goes away stops nothing;
    one that is slow is waited for, unless `waits` is False.
    """
    return _Console(markup=False, emoji=False, file=file, waits=waits, **options)


class _Console(Console):
    def __init__(self, *, waits: bool, **options: Any) -> None:
        self._waits = waits
        self._output: Output | None = None
        super().__init__(**options)

    @property
    def file(self) -> IO[str]:
        """Where it prints: what `sys.stdout` is at the time, unless a file was given."""
        file = Console.file.fget(self)
        if self._output is None or not self._output.is_around(file):
            self._output = Output.around(file, waits=self._waits)
        return self._output

    @file.setter
    def file(self, file: IO[str]) -> None:
        Console.file.fset(self, file)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As `rich` does, with harmless text: the last place that everything printed goes through."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)
