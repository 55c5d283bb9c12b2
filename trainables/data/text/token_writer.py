"""Writes the tokens of a text of any size as it is read, and resumes where it stopped."""

import json
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ire.invalid_input import InvalidInput
from trainables.data.originals import Say
from trainables.data.store import Store, write_index
from trainables.data.text.hold_out import HoldOut, placed
from trainables.data.text.readers import Piece
from trainables.data.text.split_names import SPLITS
from trainables.data.text.text_source import TextSource

BATCH = 512  # pieces encoded at a time
SAY_SECONDS = 10.0
PROGRESS = ".progress.json"


class Encoder(Protocol):
    """Encodes batches of pieces."""

    vocabulary: int
    name: str

    @property
    def dtype(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    def encode(self, pieces: Sequence[Piece]) -> Sequence[Sequence[int]]: ...

    def save(self, folder: Path) -> None: ...


def write_tokens(
    folder: Path, source: TextSource, encoder: Encoder, *, held_out: float, say: Say, **facts: object
) -> Store:
    """Encode every split of `source` into a store of tokens in `folder`, of 16 bits if the vocabulary allows.

    Each split that the source lacks is held out of its training pieces, with a share `held_out` of the characters.
    Tokens written before an interruption are kept if source and encoder are the same, also in their content.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = source.splits()
    if "train" not in present:
        raise InvalidInput(f"{source}: has no training text")
    missing = [split for split in SPLITS if split not in present]
    size, limit = source.limit(held_out)
    if missing:
        each = " each" if len(missing) > 1 else ""
        say(f"{held_out:.2%} of the training text is held out for {' and '.join(missing)}{each}")
    identity = (
        f"3 {source!r} {source.fingerprint()} {encoder.name} {encoder.fingerprint} {encoder.dtype} {held_out}"
    )
    progress = _Progress(folder, identity=identity, width=np.dtype(encoder.dtype).itemsize)
    for split in present:
        lacking = missing if split == "train" else []
        hold_out = HoldOut(split, lacking, held_out, limit)
        options = {"size": size} if lacking else {}
        _write_split(source, split, encoder, hold_out, progress, say, options)
    empty = [split for split in SPLITS if not progress.tokens[split]]
    if empty:
        raise InvalidInput(f"{source}: too little text: nothing is left for {', '.join(empty)}")
    encoder.save(folder)
    store = write_index(
        folder,
        {split: ((progress.tokens[split],), encoder.dtype) for split in SPLITS},
        moved={split: progress.partial(split) for split in SPLITS},
        vocabulary=encoder.vocabulary,
        tokenizer=encoder.name,
        files=source.recorded(),
        held_out={split: held_out for split in missing},
        **facts,
    )
    progress.path.unlink()
    return store


def _write_split(
    source: TextSource,
    split: str,
    encoder: Encoder,
    hold_out: HoldOut,
    progress: "_Progress",
    say: Say,
    options: dict[str, int],
) -> None:
    done = progress.pieces[split]
    if done:
        say(f"{split}: continuing after {done} pieces")
        if split in progress.states:
            hold_out.restore(progress.states[split])
    files = {name: progress.opened(name) for name in SPLITS}
    started = said = time.monotonic()
    try:
        pieces = placed(source.pieces(split, skip=done, **options), hold_out)
        for batch in _batches(pieces, BATCH):
            parts: dict[str, list[Sequence[int]]] = {}
            encoded = encoder.encode([piece for _, piece, _ in batch])
            for (name, _, _), tokens in zip(batch, encoded, strict=True):
                parts.setdefault(name, []).append(tokens)
            for name, sequences in parts.items():
                values = np.concatenate([np.asarray(tokens, dtype=encoder.dtype) for tokens in sequences])
                files[name].write(values.tobytes())
                files[name].flush()
                progress.tokens[name] += len(values)
            done += len(batch)
            progress.pieces[split], progress.states[split] = done, batch[-1][2]
            progress.save()
            if time.monotonic() - said > SAY_SECONDS:
                said = time.monotonic()
                count = sum(progress.tokens.values())
                say(f"{split}: {done} pieces, {count / 1e6:.1f} million tokens, {said - started:.0f} s")
    finally:
        for file in files.values():
            file.close()
    say(f"{split}: {done} pieces, {progress.tokens[split]} tokens")


class _Progress:
    """How much of each partial file in a folder is valid."""

    def __init__(self, folder: Path, *, identity: str, width: int) -> None:
        self.path = folder / PROGRESS
        self.pieces = dict.fromkeys(SPLITS, 0)
        self.tokens = dict.fromkeys(SPLITS, 0)
        self.states: dict[str, Any] = {}
        """The state of each split's `HoldOut`."""
        self._folder, self._identity, self._width = folder, identity, width
        if self.path.is_file():
            saved = json.loads(self.path.read_text(encoding="utf-8"))
            if saved["identity"] == identity and all(map(self._holds, saved["tokens"].items())):
                self.pieces, self.tokens, self.states = saved["pieces"], saved["tokens"], saved["states"]

    def partial(self, split: str) -> Path:
        return self._folder / f".{split}.partial"

    def _holds(self, written: tuple[str, int]) -> bool:
        """Whether a partial file has the tokens recorded for it; False if it was completed or is lost."""
        split, tokens = written
        path = self.partial(split)
        return path.is_file() and path.stat().st_size >= self._width * tokens

    def opened(self, split: str):
        """The partial file of a split, cut to its valid part and open for appending."""
        path = self.partial(split)
        path.touch()
        file = path.open("r+b")
        file.truncate(self._width * self.tokens[split])
        file.seek(0, 2)
        return file

    def save(self) -> None:
        values = {"pieces": self.pieces, "tokens": self.tokens, "states": self.states}
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps({"identity": self._identity} | values), encoding="utf-8")
        temporary.replace(self.path)


def _batches(pieces: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(islice(pieces, size)):
        yield batch
