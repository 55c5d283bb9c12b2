"""Text data sets, stored as token numbers: WikiText, MiniPile, OpenWebText, or any text in their place."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ire.invalid_input import InvalidInput
from trainables.data.dataset import DataSet, Say
from trainables.data.store import Store, write_store
from trainables.data.text.encoders import Encoder, Words, byte_pairs
from trainables.data.text.text_source import HubText, LocalText, TextSource
from trainables.data.text.token_writer import write_tokens


@dataclass(frozen=True)
class TokenData(DataSet):
    """uint16 tokens of `train`, `validation` and `test`."""

    name: str
    hub: HubText
    words: bool = False
    """One token a word, instead of a byte-pair encoding."""
    tokenizer: str = "gpt2"
    """The default encoding."""
    held_out: float = 0.05
    """Share of the training text for each split that the source does not have."""

    @property
    def accepts(self) -> str:
        more = "" if self.words else ", or nanoGPT's train.bin and val.bin"
        return f"text (.txt, .tokens) or .parquet files with train, valid and test in their names{more}"

    def convert(self, source: Path, say: Say, *, tokenizer: str | None = None) -> Store:
        local = LocalText(source, self.hub.column, self.hub.rows_are_lines)
        if not self.words and (binaries := local.files((".bin",))):
            return self._copied(binaries, say)
        if not local.files():
            raise InvalidInput(f"--from {str(source)!r}: no text there; takes {self.accepts}")
        return self._encoded(local, say, tokenizer)

    def prepare(
        self, source: Path | None, downloads: Path, say: Say, *, tokenizer: str | None = None
    ) -> Store:
        if source is not None:
            return self.convert(source, say, tokenizer=tokenizer)
        return self._encoded(self.hub, say, tokenizer)  # streamed: nothing is downloaded first

    def _encoded(self, source: TextSource, say: Say, tokenizer: str | None) -> Store:
        if self.words and tokenizer not in (None, "words"):
            raise InvalidInput(f"--tokenizer {tokenizer!r}: {self.name} is a text of words, it takes none")
        if "train" not in source.splits():
            raise InvalidInput(f"{source}: has no training text; {self.name} takes {self.accepts}")
        encoder: Encoder
        if self.words:
            encoder = Words.learnt(source.pieces("train"))
        else:
            encoder = byte_pairs(tokenizer or self.tokenizer, source.pieces("train"))
        say(f"{encoder.vocabulary} tokens in the vocabulary ({encoder.name})")
        return write_tokens(self.folder, source, encoder, held_out=self.held_out, say=say)

    def _copied(self, files: dict[str, list[Path]], say: Say) -> Store:
        """nanoGPT's files: uint16 tokens, no test split; half of the validation tokens become it."""
        parts = {split: np.fromfile(paths[0], np.uint16) for split, paths in files.items()}
        if not {"train", "validation"} <= set(parts):
            raise InvalidInput(f"needs train.bin and val.bin, has {', '.join(sorted(parts))} only")
        if "test" not in parts:
            say("no test.bin: the second half of val.bin becomes the test split")
            half = len(parts["validation"]) // 2
            parts |= {"validation": parts["validation"][:half], "test": parts["validation"][half:]}
        vocabulary = 1 + max(int(part.max()) for part in parts.values())
        return write_store(self.folder, parts, vocabulary=vocabulary, tokenizer="as given")


WIKITEXT2 = TokenData(
    "wikitext2", HubText("Salesforce/wikitext", "wikitext-2-v1", rows_are_lines=True), words=True
)
WIKITEXT103 = TokenData(
    "wikitext103", HubText("Salesforce/wikitext", "wikitext-103-raw-v1", rows_are_lines=True)
)
MINIPILE = TokenData("minipile", HubText("JeanKaddour/minipile"))
OPENWEBTEXT = TokenData("openwebtext", HubText("Skylion007/openwebtext"), held_out=0.0005)
