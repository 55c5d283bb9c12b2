"""Text data sets, stored as token numbers: WikiText, MiniPile, OpenWebText, or any text instead."""

from dataclasses import dataclass
from pathlib import Path

from ire.invalid_input import InvalidInput
from trainables.data.dataset import AS_USUAL, DataSet, Reading
from trainables.data.originals import Say, files_below, folders_in, is_archive, unpacked
from trainables.data.store import ENCODINGS, Store, write_index
from trainables.data.text.encoders import BytePairs, Words, byte_pairs
from trainables.data.text.split_names import SPLITS, parts_there, split_of_path
from trainables.data.text.text_source import HubText, LocalText, SavedText, TextSource
from trainables.data.text.token_files import SUFFIXES, TokenFile, check_one_type, copied, foreign, token_files
from trainables.data.text.token_writer import write_tokens


@dataclass(frozen=True)
class TokenData(DataSet):
    """Tokens of `train`, `validation` and `test`, of 16 or 32 bits."""

    name: str
    hub: HubText
    words: bool = False
    """One token per word, instead of a byte-pair encoding."""
    tokenizer: str = "gpt2"
    """The default encoding."""
    held_out: float = 0.05
    """Share of the training text for each split that the source does not have."""

    @property
    def accepts(self) -> str:
        more = "" if self.words else ", or token files (.bin, .npy) with train and val in their names"
        return (
            "text (.txt, .tokens, .md), .jsonl or .parquet files, compressed or not, with train, valid and test in "
            f"their names, an archive of such, a folder of `save_to_disk`, other files by --glob '**/*.py'{more}"
        )

    def fetch(self, downloads: Path, say: Say, *, into: Path, how: Reading) -> Store:
        if how.glob is not None:
            raise InvalidInput(f"--glob {how.glob!r}: chooses files of a folder; add --from FOLDER")
        return self._encoded(self.hub, say, how.tokenizer, into)  # streamed, not downloaded first

    def convert(self, source: Path, say: Say, *, into: Path | None = None, how: Reading = AS_USUAL) -> Store:
        into = into or self.folder
        if source.is_file() and not is_archive(source):
            return self._read(source, say, how, into)
        with unpacked(source, into, say) as folder:
            return self._read(folder, say, how, into)

    def read(self, folder: Path, say: Say, *, into: Path) -> Store:
        return self._read(folder, say, AS_USUAL, into)

    def _read(self, root: Path, say: Say, how: Reading, into: Path) -> Store:
        tokenizer, glob = how.tokenizer, how.glob
        if glob is None and (saved := _saved_below(root)) is not None:
            source = SavedText(saved, self.hub.column, self.hub.rows_are_lines)
            return self._encoded(source, say, tokenizer, into)
        if glob is None and not self.words and (shards := _token_shards(root, say)):
            return self._copied(shards, say, tokenizer, into)
        local = LocalText(root, self.hub.column, self.hub.rows_are_lines, glob)
        if local.files():
            return self._encoded(local, say, tokenizer, into)
        below = files_below(root) if root.is_dir() else []
        archives = [path for path in below if is_archive(path)]
        if len(archives) == 1:
            with unpacked(archives[0], into, say) as folder:
                return self._read(folder, say, how, into)
        which = f" that matches --glob {glob!r}" if glob is not None else ""
        has = f"; has {', '.join(path.name for path in below[:5])}" if below else ""
        raise InvalidInput(f"--from {str(root)!r}: no text there{which}{has}; takes {self.accepts}")

    def _encoded(self, source: TextSource, say: Say, tokenizer: str | None, into: Path) -> Store:
        if self.words and tokenizer not in (None, "words"):
            raise InvalidInput(
                f"--tokenizer {tokenizer!r}: {self.name} has one token per word and takes no tokenizer"
            )
        if "train" not in source.splits():
            raise InvalidInput(f"{source}: has no training text; {self.name} takes {self.accepts}")
        source.tell(say)
        encoder: BytePairs
        if self.words:
            encoder = Words.learnt(source.pieces("train"))
        else:
            encoder = byte_pairs(tokenizer or self.tokenizer, source.pieces("train"))
        say(f"{encoder.vocabulary} tokens in the vocabulary ({encoder.name})")
        return write_tokens(into, source, encoder, held_out=self.held_out, say=say)

    def _copied(
        self, shards: dict[str, list[TokenFile]], say: Say, tokenizer: str | None, into: Path
    ) -> Store:
        """Copy existing token files; without a test split, half of the validation tokens become one."""
        if not {"train", "validation"} <= set(shards):
            have = ", ".join(f"{split} ({files[0].path.name})" for split, files in shards.items())
            raise InvalidInput(f"needs token files of train and val, has {have} only")
        encoder = None if tokenizer is None else self._vocabulary_of(tokenizer)
        wide = any(file.dtype != "uint16" for files in shards.values() for file in files)
        dtype = "uint32" if wide else "uint16"
        totals = {split: sum(file.count for file in files) for split, files in shards.items()}
        for split, files in shards.items():
            names = ", ".join(file.path.name for file in files[:4]) + (" …" if len(files) > 4 else "")
            lack = parts_there([file.path for file in files])
            kind = files[0].dtype + (
                " with a header" if files[0].path.suffix == ".bin" and files[0].offset else ""
            )
            say(f"{split}: {totals[split]:,} tokens ({kind}) in {len(files)} files{lack}: {names}")
        parts = {split: (files, 0, totals[split]) for split, files in shards.items()}
        if "test" not in parts:
            say("no test tokens: the second half of the validation tokens becomes the test split")
            files, half = shards["validation"], totals["validation"] // 2
            if half == 0:
                raise InvalidInput(f"{files[0].path}: one token is too few for validation and test")
            parts |= {"validation": (files, 0, half), "test": (files, half, totals["validation"])}
        into.mkdir(parents=True, exist_ok=True)
        for left in (*into.glob(".*"), *(into / name for name in ENCODINGS)):  # by a text that was begun here
            left.unlink(missing_ok=True)
        highest = 0
        for split, (files, start, stop) in parts.items():
            path = into / f"{split}.bin"
            highest = max(highest, copied(files, path, dtype=dtype, start=start, stop=stop))
        if encoder is not None and highest >= encoder.vocabulary:
            raise InvalidInput(
                f"--tokenizer {tokenizer!r}: has {encoder.vocabulary} tokens, but the files contain token {highest}; "
                "they were made with another tokenizer"
            )
        if encoder is not None:
            encoder.save(into)
        return write_index(
            into,
            {split: ((stop - start,), dtype) for split, (_, start, stop) in parts.items()},
            vocabulary=encoder.vocabulary if encoder is not None else highest + 1,
            tokenizer=encoder.name if encoder is not None else "as given",
            files={split: [file.path.name for file in files] for split, files in shards.items()},
        )

    def _vocabulary_of(self, tokenizer: str) -> BytePairs:
        if tokenizer.startswith("bpe:"):
            raise InvalidInput(
                f"--tokenizer {tokenizer!r}: the files contain tokens, from which no tokenizer can be learnt; give "
                "the tokenizer.json that made them, or leave it out"
            )
        return byte_pairs(tokenizer, ())


def _saved_below(root: Path) -> Path | None:
    """The folder that `save_to_disk` of `datasets` wrote: this one, or the only one in it."""
    if not root.is_dir():
        return None
    if SavedText.is_at(root):
        return root
    inner = folders_in(root)
    return inner[0] if len(inner) == 1 and SavedText.is_at(inner[0]) else None


def _token_shards(root: Path, say: Say) -> dict[str, list[TokenFile]]:
    """The token files of each split that has any. Other files with such names are reported and left out."""
    every = [path for path in files_below(root) if path.suffix.lower() in SUFFIXES]
    other = [path for path in every if split_of_path(path, root) is None or foreign(path) is not None]
    for path in other[:5]:
        say(f"left out: {path.name}, {foreign(path) or 'which names no split'}")
    found: dict[str, list[Path]] = {}
    for path in every:
        if path not in other:
            found.setdefault(split_of_path(path, root) or "", []).append(path)
    shards = {split: token_files(found[split]) for split in SPLITS if split in found}
    check_one_type([file for files in shards.values() for file in files if file.is_bare])
    return shards


WIKITEXT2 = TokenData(
    "wikitext2", HubText("Salesforce/wikitext", "wikitext-2-v1", rows_are_lines=True), words=True
)
WIKITEXT103 = TokenData(
    "wikitext103", HubText("Salesforce/wikitext", "wikitext-103-raw-v1", rows_are_lines=True)
)
MINIPILE = TokenData("minipile", HubText("JeanKaddour/minipile"))
OPENWEBTEXT = TokenData("openwebtext", HubText("Skylion007/openwebtext"), held_out=0.0005)
CORPORA = {data.name: data for data in (WIKITEXT2, WIKITEXT103, MINIPILE, OPENWEBTEXT)}
