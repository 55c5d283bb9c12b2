"""Stanford Alpaca: instructions with answers, stored as token numbers (Taori et al. 2023)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ire.invalid_input import InvalidInput
from ire.plain_values import is_list, is_table
from ire.trial.seeds import derive_seed
from trainables.data.dataset import AS_USUAL, DataSet, Reading
from trainables.data.originals import Say, check_no_pointer, files_below, is_archive, unpacked
from trainables.data.store import Store, write_store
from trainables.data.text.encoders import byte_pairs
from trainables.data.text.readers import Piece, as_text
from trainables.data.untyped import datasets, parquet

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)
HELD_OUT = 20
"""One in this many examples is for validation, and one for test."""


@dataclass(frozen=True)
class Instructions(DataSet):
    """For each split: `tokens` of all examples in a row, `ends` (n,) of each, and where its `answers` (n,) begin."""

    name: str = "alpaca"
    repository: str = "tatsu-lab/alpaca"
    tokenizer: str = "meta-llama/Llama-2-7b-hf"

    @property
    def accepts(self) -> str:
        return "alpaca_data.json, or .parquet files with the columns instruction, input and output"

    def fetch(self, downloads: Path, say: Say, *, into: Path, how: Reading) -> Store:
        self.check_options(how)
        return self._stored(self._hub(), self.repository, say, how, into)

    def convert(self, source: Path, say: Say, *, into: Path | None = None, how: Reading = AS_USUAL) -> Store:
        self.check_options(how)
        into = into or self.folder
        if source.is_file() and not is_archive(source):
            return self._stored(self._local(source), source, say, how, into)
        with unpacked(source, into, say) as folder:
            return self._stored(self._local(folder), folder, say, how, into)

    def check_options(self, how: Reading) -> None:
        if how.glob is not None:
            raise InvalidInput(f"--glob {how.glob!r}: is for text data sets, and {self.name} is not one")

    def read(self, folder: Path, say: Say, *, into: Path) -> Store:
        return self.convert(folder, say, into=into)

    def _stored(self, found: Iterator[Any], source: str | Path, say: Say, how: Reading, into: Path) -> Store:
        rows = list(found)
        pairs = [self._texts(row) for row in rows]
        encoder = byte_pairs(how.tokenizer or self.tokenizer, (Piece(a + b, ends=True) for a, b in pairs))
        prompts = encoder.encode([Piece(prompt, ends=False) for prompt, _ in pairs])
        beginnings = [[*encoder.begin, *prompt] for prompt in prompts]
        answers = encoder.encode([Piece(answer, ends=True) for _, answer in pairs])
        say(f"{len(pairs)} examples, {encoder.vocabulary} tokens in the vocabulary ({encoder.name})")
        arrays: dict[str, np.ndarray] = {}
        for split in ("train", "validation", "test"):
            chosen = [n for n in range(len(pairs)) if _split_of(n) == split]
            if not chosen:
                raise InvalidInput(f"{source}: {len(pairs)} examples are too few: none is left for {split}")
            examples = [np.array([*beginnings[n], *answers[n]], encoder.dtype) for n in chosen]
            arrays[f"{split}-tokens"] = np.concatenate(examples)
            arrays[f"{split}-ends"] = np.cumsum([len(example) for example in examples], dtype=np.int64)
            arrays[f"{split}-answers"] = np.array([len(beginnings[n]) for n in chosen], np.int32)
        into.mkdir(parents=True, exist_ok=True)
        encoder.save(into)
        return write_store(into, arrays, vocabulary=encoder.vocabulary, tokenizer=encoder.name)

    def _texts(self, row: dict[str, Any]) -> tuple[str, str]:
        form = WITH_INPUT if row.get("input") else WITHOUT_INPUT
        return form.format(**row), row["output"]

    def _checked(self, row: Any, where: str) -> dict[str, Any]:
        """An example whose fields are text; without an input it may be null."""
        for name in ("instruction", "output"):
            if not is_table(row) or row.get(name) is None:
                raise InvalidInput(f"{where}: has no {name}; takes {self.accepts}")
        return {name: as_text(row.get(name), name, where) for name in ("instruction", "input", "output")}

    def _local(self, source: Path) -> Iterator[dict[str, Any]]:
        found = [
            path for path in files_below(source) if path.suffix.lower() in (".json", ".jsonl", ".parquet")
        ]
        if not found:
            raise InvalidInput(f"--from {str(source)!r}: no examples there; takes {self.accepts}")
        for path in found:
            check_no_pointer(path)
            try:
                for number, row in enumerate(_rows(path), 1):
                    yield self._checked(row, f"{path}, example {number}")
            except InvalidInput:
                raise
            except (OSError, ValueError) as error:  # raised by json and pyarrow
                reason = (str(error).splitlines() or [""])[0]
                raise InvalidInput(f"{path}: truncated or damaged ({reason}); fetch it again") from error

    def _hub(self) -> Iterator[dict[str, Any]]:
        package = datasets()
        try:
            for row in package.load_dataset(self.repository, split="train"):
                yield self._checked(dict(row), self.repository)
        except InvalidInput:
            raise
        except Exception as error:  # raised by many libraries
            first = (str(error).splitlines() or [""])[0]
            raise InvalidInput(
                f"cannot reach {self.repository} on Hugging Face ({first}); offline, give --from"
            ) from error


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix.lower() == ".parquet":
        return parquet().read_table(path).to_pylist()
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".jsonl":
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    found: Any = json.loads(text)
    if not is_list(found):
        raise InvalidInput(f"{path}: is {type(found).__name__}, must be a list of examples")
    return found


def _split_of(number: int) -> str:
    draw = derive_seed("held out", number) % HELD_OUT
    return {0: "validation", 1: "test"}.get(draw, "train")
