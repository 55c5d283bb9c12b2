"""Text on its way to tokens: every format gives the same ones, and nothing is lost when it is stopped."""

import errno
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from small_data import write_text

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.storage.file_lock import try_lock
from trainables.data import store
from trainables.data.dataset import Reading
from trainables.data.folder import VARIABLE
from trainables.data.store import open_store
from trainables.data.text import token_writer
from trainables.data.text.encoders import END_OF_TEXT, BytePairs, Words, byte_pairs
from trainables.data.text.text_source import LocalText, Piece
from trainables.data.text.token_data import MINIPILE, WIKITEXT2, WIKITEXT103, TokenData
from trainables.data.text.windows import random_windows, spaced_windows
from trainables.task import load_task
from trainables.task_data.prepare import prepare

encoded = TokenData._encoded


def quiet(_):
    pass


def test_words_are_split_at_white_space_and_lines_end(tmp_path, data):
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "wiki.train.tokens").write_text(" \n = A title = \n \n the cat sat on the <unk> . \n")
    (folder / "wiki.valid.tokens").write_text(" the dog sat \n")
    (folder / "wiki.test.tokens").write_text(" the cat \n")
    store = WIKITEXT2.convert(folder, quiet)
    vocabulary = json.loads((store.folder / "tokenizer.json").read_text())["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.get)
    read = {split: [words[n] for n in store.array(split)] for split in ("train", "validation", "test")}
    assert read == {
        "train": [
            "<eos>",
            "=",
            "A",
            "title",
            "=",
            "<eos>",
            "<eos>",
            "the",
            "cat",
            "sat",
            "on",
            "the",
            "<unk>",
            ".",
            "<eos>",
        ],
        "validation": ["the", "<unk>", "sat", "<eos>"],
        "test": ["the", "cat", "<eos>"],
    }
    assert store.facts["vocabulary"] == len(set(words)) == len(words)


def test_text_and_parquet_give_the_same_tokens(tmp_path, data):
    write_text(tmp_path / "text", sentences=300)
    stores = []
    for rows in (False, True):
        source = tmp_path / ("parquet" if rows else "text")
        if rows:
            source.mkdir()
            for path in (tmp_path / "text").iterdir():
                lines = path.read_text().splitlines(keepends=True)
                table = pa.table({"text": lines})
                parquet.write_table(table, source / f"{path.stem}-00000-of-00001.parquet")
        stores.append(WIKITEXT103.convert(source, quiet, how=Reading(tokenizer="bpe:300")))
        stores[-1].verify()
        tokens = {s: np.array(stores[-1].array(s)) for s in ("train", "validation", "test")}
        stores[-1] = tokens
    end = stores[0]["train"][-1]
    for split in stores[0]:
        assert np.array_equal(
            stores[0][split], np.append(stores[1][split], end)
        )  # rows are lines: no document ends


def test_byte_pairs_are_undone_to_the_text_they_came_from():
    texts = ["naïve café\n", "Ω≈ç√ \t tabs", "plain words " * 20]
    pieces = [Piece(text, ends=True) for text in texts]
    encoder = BytePairs.learnt(pieces, 280)
    for text, tokens in zip(texts, encoder.encode(pieces), strict=True):
        assert encoder._tokenizer.decode(tokens[:-1]) == text
        assert encoder._tokenizer.id_to_token(tokens[-1]) == END_OF_TEXT


def test_a_tokenizer_file_is_taken(tmp_path):
    pieces = [Piece("some words " * 50, ends=True)]
    BytePairs.learnt(pieces, 300).save(tmp_path)
    again = byte_pairs(str(tmp_path / "tokenizer.json"), pieces)
    assert again.encode(pieces) == BytePairs.learnt(pieces, 300).encode(pieces)


def test_preparation_goes_on_where_it_was_stopped_and_gives_the_same_files(tmp_path, data, monkeypatch):
    write_text(tmp_path / "text", sentences=30_000)
    source = LocalText(tmp_path / "text")
    monkeypatch.setattr(token_writer, "BATCH", 2)
    encoder = Words.learnt(source.pieces("train"))
    write = token_writer.write_tokens
    whole = write(tmp_path / "whole", source, encoder, held_out=0.1, say=quiet)

    class Interrupting:
        vocabulary, name, dtype = encoder.vocabulary, encoder.name, encoder.dtype
        fingerprint = encoder.fingerprint

        def __init__(self, after):
            self.left = after

        def encode(self, pieces):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return encoder.encode(pieces)

    for after in (1, 2, 4):
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "parts", source, Interrupting(after), held_out=0.1, say=quiet)
        with (tmp_path / "parts" / ".train.partial").open("ab") as file:
            file.write(b"torn")  # written, but not yet known to be whole
    heard = []
    parts = write(tmp_path / "parts", source, encoder, held_out=0.1, say=heard.append)
    assert any("continuing after" in line for line in heard)
    assert parts.index == whole.index  # checksums and all
    assert not list((tmp_path / "parts").glob(".*"))


class Dying(Words):
    """Words, until it has encoded a batch."""

    def encode(self, pieces):
        if self.__dict__.setdefault("is_done", False):
            raise KeyboardInterrupt
        self.is_done = True
        return super().encode(pieces)


@pytest.mark.parametrize("changed", ["text", "tokenizer"])
def test_a_preparation_goes_on_only_with_the_files_that_it_began_with(changed, tmp_path, data, monkeypatch):
    write_text(tmp_path / "text", sentences=9000)
    monkeypatch.setattr(token_writer, "BATCH", 2)
    source, write = LocalText(tmp_path / "text"), token_writer.write_tokens
    encoder = Dying.learnt(source.pieces("train"))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "parts", source, encoder, held_out=0.1, say=quiet)
    train = tmp_path / "text" / "train.txt"
    lines = train.read_text().splitlines(keepends=True)
    if changed == "text":
        train.write_text("".join(reversed(lines)))
    words = Words.learnt(iter([Piece("".join(reversed(lines)), ends=True)]))  # the same words, other numbers
    again = LocalText(tmp_path / "text"), words if changed == "tokenizer" else Words(encoder._tokenizer)
    parts = write(tmp_path / "parts", *again, held_out=0.1, say=quiet)
    assert parts.index == write(tmp_path / "whole", *again, held_out=0.1, say=quiet).index


def test_token_files_in_the_place_of_a_text_that_was_begun_have_nothing_of_it(tmp_path, data, monkeypatch):
    begun = data / ".minipile.new"
    begun.mkdir(parents=True)
    for name in (".progress.json", ".train.partial", "tokenizer.json"):
        (begun / name).write_text("{}")
    (tmp_path / "tokens").mkdir()
    for name in ("train.bin", "val.bin"):
        np.arange(999, dtype=np.uint16).tofile(tmp_path / "tokens" / name)
    made = prepare("minipile-llama119m", source=tmp_path / "tokens", say=quiet)
    assert sorted(p.name for p in made.iterdir()) == ["index.json", "test.bin", "train.bin", "validation.bin"]
    assert "tokenizer as given" in open_store(made, remedy="").identity


def test_a_preparation_that_ends_with_a_full_disk_leaves_nothing_and_names_the_folder(
    tmp_path, data, monkeypatch
):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(token_writer, "_write_split", full)
    write_text(tmp_path / "text", sentences=300)
    with pytest.raises(OSError, match="No space left") as caught:
        prepare("minipile-llama119m", source=tmp_path / "text", tokenizer="bpe:300", say=quiet)
    assert caught.value.filename == str(data / "minipile")
    assert not list(tmp_path.glob("data/.*"))


def test_a_preparation_that_is_killed_at_any_file_operation_leaves_nothing_that_passes_for_data(
    tmp_path, data, monkeypatch
):
    write_text(tmp_path / "text", sentences=300)
    source = LocalText(tmp_path / "text")
    encoder = Words.learnt(source.pieces("train"))

    def write(folder):
        return token_writer.write_tokens(tmp_path / folder, source, encoder, held_out=0.1, say=quiet)

    whole = write("whole")
    after, operations = 0, (("replace", Path), ("unlink", Path), ("checksum", store))
    killed = True
    while killed:
        left = after
        with monkeypatch.context() as patch:
            for name, place in operations:
                do = getattr(place, name)

                def dying(*arguments, do=do, **options):
                    nonlocal left
                    left -= 1
                    if left < 0:
                        raise KeyboardInterrupt
                    return do(*arguments, **options)

                patch.setattr(place, name, dying)
            try:
                write("parts")
                killed = False
            except KeyboardInterrupt:
                pass
        again = write("parts")
        again.verify()
        assert again.index == whole.index, f"killed after {after} operations"
        after += 1
    assert after > 10


def test_two_preparations_of_the_same_data_are_refused(tmp_path, data):
    write_text(tmp_path / "text", sentences=300)
    data.mkdir()
    with (
        try_lock(data / ".minipile.lock"),
        pytest.raises(InvalidInput, match="is being prepared by another process"),
    ):
        prepare("minipile-llama119m", source=tmp_path / "text", tokenizer="bpe:300", say=quiet)
    prepare("minipile-llama119m", source=tmp_path / "text", tokenizer="bpe:300", say=quiet)


def cut(file):
    file.write_bytes(file.read_bytes()[:-2])


def turned(file):
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("damage", [cut, turned, Path.unlink])
def test_damaged_data_is_named_and_repaired_from_its_source_but_never_replaced_by_other(
    damage, tmp_path, data
):
    write_text(tmp_path / "text", sentences=300)
    asked = {"source": tmp_path / "text", "tokenizer": "bpe:300", "say": quiet}
    prepare("minipile-llama119m", **asked)
    index = open_store(data / "minipile", remedy="").index
    damage(data / "minipile" / "train.bin")
    with pytest.raises(
        InvalidInput, match=r"train\.bin.*with --from or --tokenizer, give them again, otherwise delete"
    ):
        prepare("minipile-llama119m", say=quiet)
    prepare("minipile-llama119m", **asked)
    repaired = open_store(data / "minipile", remedy="")
    repaired.verify()
    assert repaired.index == index


def test_another_tokenizer_than_that_of_the_data_is_refused(tmp_path, data):
    write_text(tmp_path / "text", sentences=300)
    asked = "minipile-llama119m", "bpe:300"
    prepare(asked[0], source=tmp_path / "text", tokenizer=asked[1], say=quiet)
    saved, other = data / "minipile" / "tokenizer.json", tmp_path / "tokenizer.json"
    BytePairs.learnt([Piece("other words " * 9, ends=True)], 300).save(tmp_path)
    for name in ("bpe:400", "gpt2", str(saved)):
        with pytest.raises(InvalidInput, match=r"has bpe:300; choose another --dir, or add --replace"):
            prepare(asked[0], tokenizer=name, say=quiet)
    prepare(asked[0], tokenizer="bpe:300", say=quiet)
    prepare(asked[0], source=tmp_path / "text", tokenizer=str(other), replace=True, say=quiet)
    prepare(asked[0], tokenizer=str(other), say=quiet)
    BytePairs.learnt([Piece("yet others " * 9, ends=True)], 300).save(tmp_path)
    with pytest.raises(InvalidInput, match=r"has tokenizer\.json; choose another"):
        prepare(asked[0], tokenizer=str(other), say=quiet)


def test_splits_that_are_missing_are_held_out_of_the_training_text(tmp_path, data):
    table = pa.table({"text": [f"document {n} has its own words w{n}" for n in range(2000)]})
    (tmp_path / "text").mkdir()
    parquet.write_table(table, tmp_path / "text" / "all.parquet")
    store = MINIPILE.convert(tmp_path / "text", quiet, how=Reading(tokenizer="bpe:400"))
    tokenizer = byte_pairs(str(store.folder / "tokenizer.json"), [])
    texts = {
        split: set(
            tokenizer._tokenizer.decode(store.array(split).tolist(), skip_special_tokens=False).split(
                END_OF_TEXT
            )
        )
        - {""}
        for split in ("train", "validation", "test")
    }
    assert sum(map(len, texts.values())) == 2000
    assert not texts["train"] & (texts["validation"] | texts["test"])
    assert not texts["validation"] & texts["test"]
    for split in ("validation", "test"):
        assert 60 <= len(texts[split]) <= 140  # 5 %


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train.txt", "valid.txt"], {"train": ["train.txt"], "validation": ["valid.txt"]}),
        (["train.txt", "LICENSE.txt", "README.md", "load.py"], {"train": ["train.txt"]}),
        (["a.txt", "b.txt", "test/c.txt"], {"train": ["a.txt", "b.txt"], "test": ["c.txt"]}),
        (["README.md"], {}),
    ],
)
def test_a_file_that_names_no_split_is_trained_on_only_where_none_is_named_train(names, splits, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("some text\n")
    found = LocalText(tmp_path).files()
    assert {split: [path.name for path in paths] for split, paths in found.items()} == splits


def test_nanogpts_files_are_taken(tmp_path, data):
    (tmp_path / "bins").mkdir()
    train, val = np.arange(1000, dtype=np.uint16), np.arange(600, dtype=np.uint16)
    train.tofile(tmp_path / "bins" / "train.bin")
    val.tofile(tmp_path / "bins" / "val.bin")
    prepare("openwebtext-llama229m", source=tmp_path / "bins", say=quiet)
    store = open_store(data / "openwebtext", remedy="")
    assert np.array_equal(store.array("train"), train)
    assert np.array_equal(np.concatenate([store.array("validation"), store.array("test")]), val)
    assert store.facts["vocabulary"] == 1000


@pytest.mark.parametrize(
    ("task", "text", "tokenizer", "message"),
    [
        ("wikitext2", True, "gpt2", "has one token per word and takes no tokenizer"),
        ("minipile-llama119m", True, "bpe:12", "must be bpe:SIZE with a size from 257"),
        ("minipile-llama119m", True, "nowhere.json", "cannot be loaded .*bpe:SIZE"),
        ("minipile-llama119m", False, "bpe:300", "no text there; takes text"),
        ("cifar10-resnet56", True, "bpe:300", "cifar10 is not a text data set"),
    ],
)
def test_what_cannot_be_prepared_is_refused(task, text, tokenizer, message, tmp_path, data):
    if text:
        write_text(tmp_path / "text", sentences=50)
    else:
        (tmp_path / "text").mkdir()
    with pytest.raises(InvalidInput, match=message):
        prepare(task, source=tmp_path / "text", tokenizer=tokenizer, say=quiet)
    assert not list(data.glob("*")), "nothing is written"


def test_offline_a_download_says_what_to_do_instead(data, monkeypatch):
    import datasets

    def unreachable(*_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "get_dataset_split_names", unreachable)
    with pytest.raises(
        InvalidInput, match=r"cannot reach Salesforce/wikitext .*no route to host.*--from FOLDER"
    ):
        prepare("wikitext2", say=quiet)
    assert not WIKITEXT2.is_prepared


def test_windows_are_where_they_say():
    tokens = np.arange(1000, dtype=np.uint16)
    for step, window in enumerate(
        itertools.islice(random_windows(tokens, context=9, batch_size=4, seed=1, start=0), 5)
    ):
        assert torch.equal(window[:, 1:], window[:, :-1] + 1)
        (again,) = itertools.islice(random_windows(tokens, context=9, batch_size=4, seed=1, start=step), 1)
        assert torch.equal(window, again)
    spaced = torch.cat(list(spaced_windows(tokens, context=9, count=10_000, batch_size=32)))
    assert len(spaced) == 111  # no two overlap
    assert spaced[0, 0] == 0
    assert spaced[-1, -1] == 999
    with pytest.raises(InvalidInput, match="too few for one window"):
        next(random_windows(tokens[:9], context=9, batch_size=4, seed=1, start=0))


def test_the_vocabulary_of_the_data_is_the_models(small_data):
    for name in ("wikitext2@tiny", "minipile-llama119m@tiny"):
        task = load_task(name)
        vocabulary = task.store.facts["vocabulary"]
        outputs = task.model()(torch.zeros(1, 4, dtype=torch.int64))
        assert vocabulary <= outputs.shape[-1] < vocabulary + 64


def test_a_sweeps_room_is_known_with_the_data_and_left_open_without(small_data, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from ire.sweeps.ray.disk import checkpoint_bytes

    plan = SimpleNamespace(methods=("adamw", "adamw-ire"), method=parse_method)
    assert checkpoint_bytes(plan, load_task("wikitext2@tiny")) > 10_000
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert checkpoint_bytes(plan, load_task("wikitext2@tiny")) == 0
