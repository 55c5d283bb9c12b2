"""Chooses the pieces of a training text that are held out for missing splits, up to a given share.

A document is held out whole, unless it is large compared with the share; then it is cut at line ends, and every run
of it ends like a document. The choice depends only on the sizes and numbers of the pieces.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from ire.trial.seeds import derive_seed
from trainables.data.text.readers import Piece

STATE = ("_number", "_total", "_units", "_sizes", "_inside")


class HoldOut:
    """Deals pieces to `own` and to the `missing` splits, each of which gets a `share` of all characters.

    A missing split gets the next unit, whatever its size, when its deficit exceeds a random part of a mean unit, so
    it is never off by more than about a unit. `limit` is the size up to which a document is one unit; None means any.
    """

    def __init__(self, own: str, missing: Sequence[str], share: float, limit: int | None) -> None:
        self._own, self._missing, self._share, self._limit = own, list(missing), share, limit
        self._number, self._total = 0, 0
        self._units, self._sizes = 0, 0
        self._held = dict.fromkeys(missing, 0)
        self._inside: str | None = None

    def place(self, piece: Piece) -> str:
        """The split of the next piece."""
        if not self._missing:
            return self._own
        size, document = len(piece.text), piece.document
        if document is not None and self._limit is not None and document > self._limit:
            document = None  # too long to be held out whole
        where = self._inside or self._choice(size if document is None else document)
        self._inside = where if document is not None and not piece.ends else None
        self._number += 1
        self._total += size
        if where in self._held:
            self._held[where] += size
        return where

    def _choice(self, size: int) -> str:
        draw = (1 + derive_seed("held out", self._number) % 1_000_000) / 1_000_000
        lacking = {name: self._share * self._total - held for name, held in self._held.items()}
        most = max(lacking, key=lacking.__getitem__)
        self._units, self._sizes = self._units + 1, self._sizes + size
        return most if lacking[most] >= draw * self._sizes / self._units else self._own

    def state(self) -> dict[str, Any]:
        """The state, as JSON can hold it, from which `restore` continues."""
        return {name: getattr(self, name) for name in STATE} | {"_held": dict(self._held)}

    def restore(self, state: dict[str, Any]) -> None:
        vars(self).update(state | {"_held": dict(state["_held"])})


def placed(pieces: Iterator[Piece], hold_out: HoldOut) -> Iterator[tuple[str, Piece, dict[str, Any]]]:
    """Each piece with its split and the state after it; the last of a run in a split ends like a document."""
    before: tuple[str, Piece, dict[str, Any]] | None = None
    for piece in pieces:
        where = hold_out.place(piece)
        if before is not None:
            changes = before[0] != where and not before[1].ends
            yield (before[0], before[1]._replace(ends=True), before[2]) if changes else before
        before = where, piece, hold_out.state()
    if before is not None:
        yield before
