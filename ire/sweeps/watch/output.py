"""A text stream whose writer continues when its reader disappears or stops reading.

A closed terminal, a killed `tee`, a finished `head` or a full disk must not end a sweep.
"""

import select
from typing import IO, Any

PLAIN = str.maketrans("≤≥±×κγλρτΔ·–—…√", "<>~xkglrtD.--._")
"""ASCII replacements of one character each, so that tables keep their columns on an ASCII terminal."""

PIECE = 1024
"""Characters per write: at most the 4096 bytes that a writable pipe accepts at once."""

PATIENCE_MILLISECONDS = 200
"""How long an active reader may pause before output to it is dropped."""


class Output:
    """Writes to `file` as long as it has a reader, in characters that its encoding has.

    With `waits`, a slow reader blocks the writer; otherwise output that it does not accept is dropped.
    """

    def __init__(self, file: IO[str], *, waits: bool) -> None:
        self._file, self._waits = file, waits
        self._is_gone = False
        self._reads = True

    @classmethod
    def around(cls, file: IO[str], *, waits: bool) -> "Output":
        """An output to `file`, which may already be an `Output`."""
        return cls(file._file if isinstance(file, cls) else file, waits=waits)

    def is_around(self, file: IO[str]) -> bool:
        """Whether it writes to `file`."""
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
        """Write what can be written; a missing reader, a full disk or an unknown character never raises."""
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
        """Flush the file."""
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
        """Whether the reader accepts more now, as far as the system can tell."""
        try:
            poll = select.poll()
            poll.register(self._file.fileno(), select.POLLOUT)
            self._reads = bool(poll.poll(PATIENCE_MILLISECONDS if self._reads else 0))
        except (OSError, ValueError, AttributeError):  # not a file of the operating system
            return True
        return self._reads
