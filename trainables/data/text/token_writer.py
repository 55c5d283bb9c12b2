"""Writes the tokens of a text as it is read, so that it may be of any size, and goes on where it was stopped."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from ire.invalid_input import InvalidInput
from ire.trial.seeds import derive_seed
from trainables.data.dataset import Say
from trainables.data.store import Store, write_index
from trainables.data.text.encoders import Encoder
from trainables.data.text.text_source import SPLITS, Piece, TextSource

BATCH = 512  # pieces encoded at a time
SAY_SECONDS = 10.0


def write_tokens(
    folder: Path, source: TextSource, encoder: Encoder, *, held_out: float, say: Say, **facts: object
) -> Store:
    """Encode every split of `source` into a store of uint16 tokens in `folder`.

    A split that the source has not is held out of its training pieces, a share of `held_out` each, chosen by their
    number alone. What was written before an interrupt is kept, if it was of the same source and encoder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = source.splits()
    if "train" not in present:
        raise InvalidInput(f"{source}: has no training text")
    missing = [split for split in SPLITS if split not in present]
    progress = _Progress(folder, identity=f"{source} {encoder.name} {encoder.vocabulary} {held_out}")
    for split in present:
        choose = _chooser(split, missing if split == "train" else [], held_out)
        _write_split(folder, source, split, encoder, choose, progress, say)
    empty = [split for split in SPLITS if not progress.tokens[split]]
    if empty:
        raise InvalidInput(f"{source}: too little text, nothing is left for {', '.join(empty)}")
    encoder.save(folder)
    store = write_index(
        folder,
        {split: ((progress.tokens[split],), "uint16") for split in SPLITS},
        moved={split: progress.partial(split) for split in SPLITS},
        vocabulary=encoder.vocabulary,
        tokenizer=encoder.name,
        **facts,
    )
    progress.path.unlink()
    return store


def _write_split(
    folder: Path,
    source: TextSource,
    split: str,
    encoder: Encoder,
    choose: Callable[[int], str],
    progress: "_Progress",
    say: Say,
) -> None:
    done = progress.pieces[split]
    if done:
        say(f"{split}: going on after {done} pieces")
    files = {name: progress.opened(name) for name in SPLITS}
    started = said = time.monotonic()
    try:
        for pieces in _batches(source.pieces(split, skip=done), BATCH):
            parts: dict[str, list[Sequence[int]]] = {}
            for number, tokens in enumerate(encoder.encode(pieces), done):
                parts.setdefault(choose(number), []).append(tokens)
            for name, sequences in parts.items():
                values = np.concatenate([np.asarray(tokens, dtype=np.uint16) for tokens in sequences])
                files[name].write(values.tobytes())
                files[name].flush()
                progress.tokens[name] += len(values)
            done += len(pieces)
            progress.pieces[split] = done
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
    """How far the partial files of a folder are valid."""

    def __init__(self, folder: Path, *, identity: str) -> None:
        self.path = folder / ".progress.json"
        self.pieces = dict.fromkeys(SPLITS, 0)
        self.tokens = dict.fromkeys(SPLITS, 0)
        self._folder, self._identity = folder, identity
        if self.path.is_file():
            saved = json.loads(self.path.read_text(encoding="utf-8"))
            if saved["identity"] == identity and all(map(self._holds, saved["tokens"].items())):
                self.pieces, self.tokens = saved["pieces"], saved["tokens"]

    def partial(self, split: str) -> Path:
        return self._folder / f".{split}.partial"

    def _holds(self, written: tuple[str, int]) -> bool:
        """Whether a partial file has as much as it is said to; not if it was completed, or is lost."""
        split, tokens = written
        path = self.partial(split)
        return path.is_file() and path.stat().st_size >= 2 * tokens

    def opened(self, split: str):
        """The partial file of a split, cut to what is known to be whole, to append to."""
        path = self.partial(split)
        path.touch()
        file = path.open("r+b")
        file.truncate(2 * self.tokens[split])
        file.seek(0, 2)
        return file

    def save(self) -> None:
        text = json.dumps({"identity": self._identity, "pieces": self.pieces, "tokens": self.tokens})
        temporary = self.path.with_suffix(".new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.path)


def _chooser(split: str, missing: list[str], share: float) -> Callable[[int], str]:
    """Which split piece number n of `split` goes to."""

    def choose(number: int) -> str:
        draw = (derive_seed("held out", number) % 1_000_000) / 1_000_000
        place = int(draw / share) if missing else len(missing)
        return missing[place] if place < len(missing) else split

    return choose


def _batches(pieces: Iterator[Piece], size: int) -> Iterator[list[Piece]]:
    while batch := list(islice(pieces, size)):
        yield batch
