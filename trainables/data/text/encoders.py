"""Encodes text as token numbers: words, or byte pairs that are named, read from a file, or learnt from the data.

All are `tokenizers` encodings, saved as `tokenizer.json` beside the tokens. `tokenizers` is imported when used.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput
from trainables.data.originals import check_no_pointer
from trainables.data.store import ENCODINGS
from trainables.data.text.readers import Piece

END_OF_LINE, UNKNOWN = "<eos>", "<unk>"
END_OF_TEXT = "<|endoftext|>"
ENDS = (END_OF_TEXT, "</s>", "<|end_of_text|>", "<eos>", "[SEP]")
"""Tokens that may end a document: those of GPT-2, Llama-2, Llama-3, Gemma and BERT."""
LIMIT = 1 << 16
"""The number of tokens that 16 bits can hold; larger vocabularies are stored in 32."""
LEARN_FROM = 50_000_000
"""The maximum number of characters from which an encoding is learnt."""


class BytePairs:
    """A `tokenizers` encoding; documents end with `<|endoftext|>` or its equivalent. Encodes on all cores.

    `begin` are the tokens that its models expect before a text: `<s>` for Llama, none for GPT-2. Truncation, padding
    and random merges are off, even if the file was saved with them.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self._tokenizer, self.name = tokenizer, name
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if getattr(tokenizer.model, "dropout", None):
            tokenizer.model.dropout = None
        numbers = tokenizer.get_vocab(with_added_tokens=True)
        self.vocabulary = 1 + max(numbers.values(), default=0)
        """Rows that an embedding needs: one more than the highest number, even if some numbers are unused."""
        self.begin = self._beginning()
        ends = [numbers[end] for end in ENDS if end in numbers]
        if not ends:
            raise InvalidInput(
                f"tokenizer {name!r}: must know one of {', '.join(ENDS)}, which ends a document"
            )
        self._end = ends[0]

    @classmethod
    def learnt(cls, pieces: Iterable[Piece], vocabulary: int) -> "BytePairs":
        """A byte-level encoding of `vocabulary` tokens, learnt from the first 50 million characters."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_beginning(pieces), trainer)
        return cls(tokenizer, f"bpe:{vocabulary}")

    @property
    def dtype(self) -> str:
        """The type in which its tokens are stored."""
        return "uint16" if self.vocabulary <= LIMIT else "uint32"

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of what `save` writes."""
        return hashlib.sha256(self._tokenizer.to_str().encode()).hexdigest()

    def encode(self, pieces: Sequence[Piece]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch([piece.text for piece in pieces], add_special_tokens=False)
        return [
            [*encoding.ids, self._end] if piece.ends else encoding.ids
            for encoding, piece in zip(encodings, pieces, strict=True)
        ]

    def is_that_of(self, other: "BytePairs") -> bool:
        """Whether both encode alike, whatever the names of their files."""
        return self._tokenizer.to_str() == other._tokenizer.to_str()

    def save(self, folder: Path) -> None:
        self._tokenizer.save(str(folder / ENCODINGS[0]))

    def _beginning(self) -> list[int]:
        marked = self._tokenizer.encode("a")
        mask = marked.special_tokens_mask
        return marked.ids[: mask.index(0)] if 0 in mask else []


class Words(BytePairs):
    """One token per word, as WikiText is published: split at white space, `<eos>` at the end of every line."""

    begin: Sequence[int] = ()

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self.name = tokenizer, "words"
        self.vocabulary = tokenizer.get_vocab_size()

    @classmethod
    def learnt(cls, pieces: Iterable[Piece], vocabulary: int | None = None) -> "Words":
        """The words of the training text, in the order in which they occur."""
        from tokenizers import Tokenizer, models, pre_tokenizers

        numbers = {UNKNOWN: 0, END_OF_LINE: 1}
        for piece in pieces:
            for word in piece.text.split():
                numbers.setdefault(word, len(numbers))
        if len(numbers) > LIMIT:
            raise InvalidInput(
                f"{len(numbers)} different words do not fit into 16 bits; WikiText-2 has 33,278: "
                "take the version in which rare words are <unk>"
            )
        tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return cls(tokenizer)

    def encode(self, pieces: Sequence[Piece]) -> list[list[int]]:
        texts = [
            " ".join(word for line in io.StringIO(piece.text, None) for word in (*line.split(), END_OF_LINE))
            for piece in pieces
        ]
        return [encoding.ids for encoding in self._tokenizer.encode_batch(texts, add_special_tokens=False)]


def byte_pairs(name: str, pieces: Iterable[Piece]) -> BytePairs:
    """The encoding called `name`; `pieces` are what `bpe:SIZE` is learnt from. Raises `InvalidInput`.

    `bpe:8192` learns one; anything that ends in `.json`, or a folder that contains a `tokenizer.json`, is a file of
    the `tokenizers` library; everything else is a name on Hugging Face, such as `gpt2`.
    """
    kind, _, rest = name.partition(":")
    if kind == "bpe":
        if not (rest.isascii() and rest.isdigit()) or not 257 <= int(rest) <= LIMIT:
            raise InvalidInput(f"--tokenizer {name!r}: must be bpe:SIZE with a size from 257 to {LIMIT}")
        return BytePairs.learnt(pieces, int(rest))
    if kind == "tiktoken":
        raise InvalidInput(
            f"--tokenizer {name!r}: tiktoken encodings cannot be read; give the same encoding from Hugging Face, "
            f"--tokenizer {rest or 'gpt2'} if that is its name there, or offline a tokenizer.json"
        )
    from tokenizers import Tokenizer

    file = Path(name) / ENCODINGS[0] if (Path(name) / ENCODINGS[0]).is_file() else Path(name)
    is_file = file.suffix == ".json"
    if is_file and file.is_file():
        check_no_pointer(file)
    try:
        tokenizer = Tokenizer.from_file(str(file)) if is_file else Tokenizer.from_pretrained(name)
    except Exception as error:  # the library raises plain Exception
        first = (str(error).splitlines() or [""])[0]
        raise InvalidInput(
            f"--tokenizer {name!r}: cannot be loaded ({first}); offline, give a tokenizer.json or bpe:SIZE"
        ) from error
    return BytePairs(tokenizer, file.name)


def is_called(name: str, made_by: str | None, folder: Path) -> bool:
    """Whether `byte_pairs` would give for `name` the encoding `made_by` that is saved in `folder`."""
    is_folder = (Path(name) / ENCODINGS[0]).is_file()
    if made_by is None or (ENCODINGS[0] if is_folder else Path(name).name) != made_by:
        return False
    if not name.endswith(".json") and not is_folder:
        return True
    saved = folder / ENCODINGS[0]
    return saved.is_file() and byte_pairs(name, ()).is_that_of(byte_pairs(str(saved), ()))


def decoded(tokens: Sequence[int], folder: Path) -> str | None:
    """The text of some tokens of the store in `folder`; None if its encoding is not saved there."""
    from tokenizers import Tokenizer

    tokenizer, words = (folder / name for name in ENCODINGS)
    if tokenizer.is_file():
        loaded = Tokenizer.from_file(str(tokenizer))
        return loaded.decode(list(tokens), skip_special_tokens=False)
    if words.is_file():
        known = words.read_text(encoding="utf-8").splitlines()
        return " ".join(known[token] for token in tokens)
    return None


def _beginning(pieces: Iterable[Piece]) -> Iterator[str]:
    size = 0
    for piece in pieces:
        yield piece.text
        size += len(piece.text)
        if size >= LEARN_FROM:
            return
