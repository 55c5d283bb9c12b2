"""A byte-level language model on the source text of Python's standard library: real text, no download."""

import hashlib
import platform
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from ire.trial.seeds import derive_seed, generator
from trainables.models.causal_transformer import CausalTransformer
from trainables.task import Batch, Task

CONTEXT = 64
VOCABULARY = 256
CORPUS_BYTES = 4_000_000  # enough for any run on a laptop, and quickly read
EVAL_WINDOWS = 128


class StdlibLM(Task):
    """Next-byte prediction; the loss is in nats per byte. Files are split, not windows, so no text is shared."""

    name = "stdlib-lm"
    batch_size = 16

    @cached_property
    def splits(self) -> dict[str, Tensor]:
        """The bytes (n,) of each split: 80 % of the files train, 10 % validation, 10 % test."""
        files: dict[str, list[bytes]] = {"train": [], "validation": [], "test": []}
        for name, text in corpus().items():
            draw = derive_seed("stdlib-lm", name) % 10
            if draw and self.study:  # test files stay; the others are split again
                draw = 1 + derive_seed("stdlib-lm", name, self.study) % 9
            files["test" if draw == 0 else "validation" if draw == 1 else "train"].append(text)
        return {
            name: torch.frombuffer(bytearray(b"\n".join(texts)), dtype=torch.uint8)
            for name, texts in files.items()
        }

    def data_identity(self) -> str:
        """The checksum of the text, which differs between releases of Python and between distributions."""
        digest = hashlib.sha256()
        for name, text in corpus().items():
            digest.update(f"{name} {len(text)}\n".encode() + text)
        return f"stdlib-lm sha256 {digest.hexdigest()[:16]}, of Python {platform.python_version()}"

    def model(self) -> nn.Module:
        return CausalTransformer(vocabulary=VOCABULARY, context=CONTEXT)

    def train_batches(self, *, seed: int, start: int) -> Iterator[Batch]:
        text = self.splits["train"]
        step = start
        while True:
            draws = generator(seed, "order", step)
            offsets = torch.randint(len(text) - CONTEXT, (self.batch_size,), generator=draws)
            yield windows(text, offsets)
            step += 1

    def eval_batches(self, split: str) -> Iterable[Batch]:
        text = self.splits[split]
        offsets = torch.linspace(0, len(text) - CONTEXT - 1, EVAL_WINDOWS).long()
        return [windows(text, part) for part in torch.split(offsets, 32)]


def windows(text: Tensor, offsets: Tensor) -> Batch:
    """Inputs and next-byte targets, both (batch, CONTEXT) int64, at the given offsets of `text` (n,) uint8."""
    index = offsets[:, None] + torch.arange(CONTEXT + 1)
    window = text[index].long()
    return window[:, :-1], window[:, 1:]


@cache
def corpus() -> Mapping[str, bytes]:
    """The first `CORPUS_BYTES` of the library, file by file: its name below the library, and its text."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found: dict[str, bytes] = {}
    size = 0
    for path in sorted(root.glob("*.py")) + sorted(root.glob("[a-z]*/*.py")):
        if size >= CORPUS_BYTES:
            break
        if path.is_relative_to(root / "site-packages") or "test" in path.parts[-2]:
            continue
        name = path.relative_to(root).as_posix()
        found[name] = path.read_bytes()
        size += len(found[name])
    return found
