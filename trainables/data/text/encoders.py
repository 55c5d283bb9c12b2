"""From text to token numbers: words, or byte pairs by name, by file, or learnt from the data."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ire.invalid_input import InvalidInput
from trainables.data.text.text_source import Piece

END_OF_LINE, UNKNOWN = "<eos>", "<unk>"
END_OF_TEXT = "<|endoftext|>"
LIMIT = 1 << 16  # tokens are stored in 16 bits
LEARN_FROM = 50_000_000
"""Characters at most from which an encoding is learnt."""


class Encoder(Protocol):
    """Encodes batches of pieces."""

    vocabulary: int
    name: str

    def encode(self, pieces: Sequence[Piece]) -> list[Sequence[int]]: ...

    def save(self, folder: Path) -> None: ...


class Words:
    """One token a word, as WikiText is published: split at white space, `<eos>` at the end of every line."""

    name = "words"

    def __init__(self, numbers: dict[str, int]) -> None:
        self._numbers = numbers
        self.vocabulary = len(numbers)

    @classmethod
    def learnt(cls, pieces: Iterable[Piece]) -> "Words":
        """The words of the training text, in the order in which they occur."""
        numbers = {UNKNOWN: 0, END_OF_LINE: 1}
        for piece in pieces:
            for word in piece.text.split():
                numbers.setdefault(word, len(numbers))
        if len(numbers) > LIMIT:
            raise InvalidInput(
                f"{len(numbers)} different words do not fit into 16 bits; WikiText-2 has 33,278: "
                "take the version in which rare words are <unk>"
            )
        return cls(numbers)

    def encode(self, pieces: Sequence[Piece]) -> list[Sequence[int]]:
        unknown, end = self._numbers[UNKNOWN], self._numbers[END_OF_LINE]
        encoded = []
        for piece in pieces:
            tokens: list[int] = []
            for line in piece.text.splitlines():
                tokens += (self._numbers.get(word, unknown) for word in line.split())
                tokens.append(end)
            encoded.append(tokens)
        return encoded

    def save(self, folder: Path) -> None:
        (folder / "words.txt").write_text("\n".join(self._numbers) + "\n", encoding="utf-8")


class BytePairs:
    """A `tokenizers` byte-pair encoding; documents end with `<|endoftext|>`. Encodes on all cores.

    `begin` are the tokens that its models expect before a text: `<s>` of Llama's, none of GPT-2's.
    """

    def __init__(self, tokenizer, name: str) -> None:
        self._tokenizer, self.name = tokenizer, name
        self.vocabulary = tokenizer.get_vocab_size()
        self._end = tokenizer.token_to_id(END_OF_TEXT)
        if self._end is None:  # Llama's
            self._end = tokenizer.token_to_id("</s>")
        marked = tokenizer.encode("a")
        self.begin = marked.ids[: marked.special_tokens_mask.index(0)]
        if self._end is None or self.vocabulary > LIMIT:
            raise InvalidInput(
                f"tokenizer {name!r}: must know {END_OF_TEXT} or </s>, and at most {LIMIT} tokens; "
                f"it has {self.vocabulary}"
            )

    @classmethod
    def learnt(cls, pieces: Iterable[Piece], vocabulary: int) -> "BytePairs":
        """A byte-level encoding of so many tokens, learnt from the first 50 million characters."""
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

    def encode(self, pieces: Sequence[Piece]) -> list[Sequence[int]]:
        encodings = self._tokenizer.encode_batch([piece.text for piece in pieces], add_special_tokens=False)
        return [
            [*encoding.ids, self._end] if piece.ends else encoding.ids
            for encoding, piece in zip(encodings, pieces, strict=True)
        ]

    def is_that_of(self, other: "BytePairs") -> bool:
        """Whether both encode alike, whatever their files are called."""
        return self._tokenizer.to_str() == other._tokenizer.to_str()

    def save(self, folder: Path) -> None:
        self._tokenizer.save(str(folder / "tokenizer.json"))


class Tiktoken:
    """OpenAI's own implementation of GPT-2's encoding, if the package `tiktoken` is installed."""

    begin: Sequence[int] = ()

    def __init__(self, encoding: str) -> None:
        self.name = f"tiktoken:{encoding}"
        try:
            import tiktoken

            self._encoding = tiktoken.get_encoding(encoding)
        except ImportError:
            raise InvalidInput("--tokenizer tiktoken:...: needs the package tiktoken; or use gpt2") from None
        except Exception as error:  # its downloads raise whatever `requests` does
            raise InvalidInput(
                f"--tokenizer {self.name}: {error}; offline, use bpe:SIZE or a file"
            ) from error
        self.vocabulary = self._encoding.n_vocab
        if self.vocabulary > LIMIT:
            raise InvalidInput(f"--tokenizer {self.name}: {self.vocabulary} tokens do not fit into 16 bits")

    def encode(self, pieces: Sequence[Piece]) -> list[Sequence[int]]:
        encoded = self._encoding.encode_ordinary_batch([piece.text for piece in pieces])
        end = [self._encoding.eot_token]
        return [tokens + end if piece.ends else tokens for tokens, piece in zip(encoded, pieces, strict=True)]

    def save(self, folder: Path) -> None:
        """Nothing: the name says everything."""


def byte_pairs(name: str, pieces: Iterable[Piece]) -> BytePairs | Tiktoken:
    """The encoding called `name`; `pieces` are what `bpe:SIZE` is learnt from. Raises `InvalidInput`.

    `bpe:8192` learns one; `tiktoken:gpt2` uses that package; anything that ends in `.json` is a file of the
    `tokenizers` library; all else is a name on Hugging Face, as `gpt2`.
    """
    kind, _, rest = name.partition(":")
    if kind == "bpe":
        if not rest.isdigit() or not 257 <= int(rest) <= LIMIT:
            raise InvalidInput(f"--tokenizer {name!r}: must be bpe:SIZE with a size from 257 to {LIMIT}")
        return BytePairs.learnt(pieces, int(rest))
    if kind == "tiktoken":
        return Tiktoken(rest or "gpt2")
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(name) if name.endswith(".json") else Tokenizer.from_pretrained(name)
    except Exception as error:  # the library raises plain Exception
        first = (str(error).splitlines() or [""])[0]
        raise InvalidInput(
            f"--tokenizer {name!r}: cannot be loaded ({first}); offline, give a tokenizer.json or bpe:SIZE"
        ) from error
    return BytePairs(tokenizer, Path(name).name)


def is_called(name: str, made_by: str | None, folder: Path) -> bool:
    """Whether `byte_pairs` would give for `name` the encoding `made_by` that is saved in `folder`."""
    if made_by is None or Path(name).name != made_by:
        return False
    if not name.endswith(".json"):
        return True
    saved = folder / "tokenizer.json"
    return saved.is_file() and byte_pairs(name, ()).is_that_of(byte_pairs(str(saved), ()))


def _beginning(pieces: Iterable[Piece]) -> Iterator[str]:
    size = 0
    for piece in pieces:
        yield piece.text
        size += len(piece.text)
        if size >= LEARN_FROM:
            return
