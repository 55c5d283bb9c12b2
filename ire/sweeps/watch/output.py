"""A text stream whose reader may go away or stop reading: whatever becomes of it, the writer goes on.

Terminals are closed, `tee` is killed, `head` has seen enough, the log's disk is full: none of that ends a sweep.
"""

import select
from typing import IO, Any

PLAIN = str.maketrans("≤≥±×κγλρτΔ·–—…√", "<>~xkglrtD.--._")
"""One character for one, so that tables keep their columns where a terminal knows ASCII alone."""

PIECE = 1024
"""So many characters are no more than the 4096 bytes that a pipe takes at once when it takes any."""

PATIENCE_MILLISECONDS = 200
"""How long a reader that has just been reading may pause before what is written for it is dropped."""


class Output:
    """Writes to `file` while somebody reads it, in characters that it has.

    With `waits` a slow reader is waited for; without, what it does not take is dropped.
    """

    def __init__(self, file: IO[str], *, waits: bool) -> None:
        self._file, self._waits = file, waits
        self._is_gone = False
        self._reads = True

    @classmethod
    def around(cls, file: IO[str], *, waits: bool) -> "Output":
        """An output to `file`, which may be one already."""
        return cls(file._file if isinstance(file, cls) else file, waits=waits)

    def is_around(self, file: IO[str]) -> bool:
        """Whether it is `file` that it writes to."""
        return file in (self, self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def isatty(self) -> bool:
        """Whether it is a terminal; False for one that is closed."""
        try:
            return self._file.isatty()
        except (OSError, ValueError):
            return False

    def write(self, text: str) -> int:
        """Write what can be written; never raises for want of a reader, of room or of characters."""
        encodable = self._encodable(text)
        if self._waits:
            self._write(encodable)
            return len(text)
        for begin in range(0, len(encodable), PIECE):
            if not self._takes():
                break
            self._write(encodable[begin : begin + PIECE])
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        self._try(self._file.flush)

    def _write(self, text: str) -> None:
        self._try(lambda: self._file.write(text))

    def _try(self, action: Any) -> None:
        if self._is_gone:
            return
        try:
            action()
        except (OSError, ValueError):  # the latter for a file that is closed
            self._is_gone = True

    def _encodable(self, text: str) -> str:
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            return text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
        return text

    def _takes(self) -> bool:
        """Whether the reader takes more now, as far as can be known."""
        try:
            poll = select.poll()
            poll.register(self._file.fileno(), select.POLLOUT)
            self._reads = bool(poll.poll(PATIENCE_MILLISECONDS if self._reads else 0))
        except (OSError, ValueError, AttributeError):  # no file of the system's
            return True
        return self._reads
