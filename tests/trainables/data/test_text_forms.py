"""Texts in the forms in which they are found: read right, or refused by name; which file is which split is said."""

import gzip
import io
import itertools
import json
import re
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from ire.invalid_input import InvalidInput
from trainables.data.store import open_store
from trainables.data.text.encoders import BytePairs, byte_pairs
from trainables.data.text.hold_out import HoldOut, placed
from trainables.data.text.readers import Piece
from trainables.data.text.text_source import SavedText
from trainables.data.text.token_files import token_file
from trainables.task_data.prepare import prepare

TEXT = "".join(f"line {i} of a text with {i * 7 % 1000} words or so\n" for i in range(4000))
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 107\n"
PARTS = {"train": TEXT, "valid": TEXT[:30_000], "test": TEXT[30_000:60_000]}


@pytest.fixture
def prepared(tmp_path):
    """Prepares files given by name, and returns the store and what was said."""
    count = 0

    def make(files, task="minipile-llama119m", tokenizer="bpe:300", **options):
        nonlocal count
        count += 1
        folder = tmp_path / f"source{count}"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        said = []
        made = prepare(
            task,
            into=tmp_path / f"out{count}",
            source=folder,
            tokenizer=tokenizer,
            say=said.append,
            **options,
        )
        return open_store(made, remedy=""), said

    return make


def tokens(store):
    return {split: np.array(store.array(split)) for split in ("train", "validation", "test")}


def rows(text):
    return "".join(json.dumps({"text": line, "more": 1}) + "\n" for line in text.splitlines(keepends=True))


def zstd(data):
    stream = pa.BufferOutputStream()
    with pa.CompressedOutputStream(stream, "zstd") as out:
        out.write(data)
    return stream.getvalue().to_pybytes()


def table(text):
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"text": [text]}), sink)
    return sink.getvalue().to_pybytes()


def stream(text):
    rows, sink = pa.table({"text": [text]}), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


def in_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        for name, text in PARTS.items():
            archive.writestr(f"inner/{name}.txt", text)
    return (tmp_path / "w.zip").read_bytes()


def in_tar(tmp_path):
    for name, text in PARTS.items():
        (tmp_path / f"{name}.txt").write_text(text)
    with tarfile.open(tmp_path / "w.tar.gz", "w:gz") as archive:
        for name in PARTS:
            archive.add(tmp_path / f"{name}.txt", f"{name}.txt")
    return (tmp_path / "w.tar.gz").read_bytes()


@pytest.mark.parametrize(
    "form",
    [
        lambda _: {f"{n}.txt.gz": gzip.compress(t.encode()) for n, t in PARTS.items()},
        lambda _: {f"{n}.txt.zst": zstd(t.encode()) for n, t in PARTS.items()},
        lambda _: {f"{n}.txt": b"\xef\xbb\xbf" + t.encode() for n, t in PARTS.items()},
        lambda _: {f"{n}.txt": t.encode("utf-16") for n, t in PARTS.items()},
        lambda _: {f"{n}.txt": t.replace("\n", "\r\n") for n, t in PARTS.items()},
        lambda _: {f"{n}.txt": t.encode("utf-32") for n, t in PARTS.items()},
        lambda _: {f"{n}.parquet.gz": gzip.compress(table(t)) for n, t in PARTS.items()},
        lambda _: {f"{n}.arrow.zst": zstd(stream(t)) for n, t in PARTS.items()},
        lambda _: {f"{n}.jsonl": json.dumps({"text": t}) for n, t in PARTS.items()},
        lambda _: {f"{n}.json": json.dumps([{"text": t}]) for n, t in PARTS.items()},
        lambda tmp_path: {"w.zip": in_zip(tmp_path)},
        lambda tmp_path: {"w.tar.gz": in_tar(tmp_path)},
    ],
    ids=[
        "gz",
        "zst",
        "bom",
        "utf-16",
        "crlf",
        "utf-32",
        "parquet.gz",
        "arrow.zst",
        "jsonl",
        "json",
        "zip",
        "tar",
    ],
)
def test_every_form_gives_the_tokens_of_plain_text(form, prepared, tmp_path):
    plain, _ = prepared({f"{name}.txt": text for name, text in PARTS.items()})
    other, _ = prepared(form(tmp_path))
    assert not list(other.folder.glob("unpacked*"))
    for split, expected in tokens(plain).items():
        found = other.array(split)
        assert len(found) == pytest.approx(len(expected), abs=2)  # pieces of a long row are cut elsewhere
        assert np.array_equal(found[:1000], expected[:1000])


def test_a_damaged_place_in_a_table_does_not_lead_out_of_the_memory(prepared):
    content = stream("abc" * 100)
    offsets = content.rindex((300).to_bytes(4, "little"))
    damaged = content[:offsets] + (1 << 30).to_bytes(4, "little") + content[offsets + 4 :]
    with pytest.raises(InvalidInput, match=r"train\.arrow: truncated or damaged"):
        prepared({"train.arrow": damaged})


def test_a_damaged_place_in_a_saved_data_set_does_not_either(tmp_path):
    import datasets

    datasets.Dataset.from_dict({"text": ["abc" * 100] * 3}).save_to_disk(str(tmp_path / "saved"))
    (path,) = (tmp_path / "saved").glob("*.arrow")
    path.write_bytes(path.read_bytes().replace((600).to_bytes(4, "little"), (1 << 30).to_bytes(4, "little")))
    with pytest.raises(InvalidInput, match="saved, train: damaged"):
        list(SavedText(tmp_path / "saved").pieces("train"))


def test_each_row_of_json_lines_ends_like_a_document(prepared):
    store, _ = prepared(
        {f"{name}.jsonl.gz": gzip.compress(rows(text).encode()) for name, text in PARTS.items()}
    )
    end = byte_pairs(str(store.folder / "tokenizer.json"), ())._end
    for name, split in (("train", "train"), ("valid", "validation"), ("test", "test")):
        assert (store.array(split) == end).sum() == len(PARTS[name].splitlines())


def test_characters_that_end_a_line_elsewhere_do_not_end_it_here(prepared):
    text = "a b \u2028 c \x85 d \x0c e"
    line = json.dumps({"text": text}, ensure_ascii=False) + "\n"
    store, _ = prepared({"train.json": line * 600})
    end = byte_pairs(str(store.folder / "tokenizer.json"), ())._end
    assert sum(int((values == end).sum()) for values in tokens(store).values()) == 600
    store, _ = prepared({f"{name}.txt": f"{text}\n" * 9 for name in PARTS}, task="wikitext2", tokenizer=None)
    assert store.array("train").tolist() == [2, 3, 4, 5, 6, 1] * 9


def test_splits_of_save_to_disk_are_those_that_it_has(tmp_path):
    import datasets

    def saved(column, *names):
        parts = {name: datasets.Dataset.from_dict({"text": column}) for name in names}
        datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "_".join(names)))
        return SavedText(tmp_path / "_".join(names))

    said = []
    saved(["a"], "train", "extra").tell(said.append)
    assert said == ["train: 1 rows", "left out: extra, which name no split"]
    with pytest.raises(InvalidInput, match="'validation_b' is a second split of its validation data"):
        saved(["a"], "train", "validation_a", "validation_b").splits()
    with pytest.raises(InvalidInput, match="train, row 0: 'text' is int, must be text"):
        list(saved([7], "train").pieces("train"))


def test_a_folder_of_save_to_disk_is_read(tmp_path):
    import datasets

    parts = {name: datasets.Dataset.from_dict({"text": text.splitlines()}) for name, text in PARTS.items()}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "outer" / "saved"))
    made = prepare(
        "minipile-llama119m",
        into=tmp_path / "out",
        source=tmp_path / "outer",
        tokenizer="bpe:300",
        say=lambda _: None,
    )
    store = open_store(made, remedy="")
    end = byte_pairs(str(made / "tokenizer.json"), ())._end
    assert (store.array("train") == end).sum() == len(PARTS["train"].splitlines())


def test_a_source_tree_is_documents_of_which_some_are_held_out(prepared):
    files = {
        f"pkg/{'test_' * (n % 3 == 0)}m{n}.py": f"def f{n}():\n    return {n}\n" * (1 + n % 9)
        for n in range(400)
    }
    store, _ = prepared(
        files | {"pkg/data.csv": "1,2\n", ".git/config": "no", "README.md": "read me"}, glob="**/*.py"
    )
    end = byte_pairs(str(store.folder / "tokenizer.json"), ())._end
    ends = {split: int((values == end).sum()) for split, values in tokens(store).items()}
    assert sum(ends.values()) == 400
    for split in ("validation", "test"):
        assert ends[split] == pytest.approx(20, abs=8)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": "ein schöner Tag\n".encode("latin-1") * 99}, r"a\.txt: not UTF-8 text .*iconv -f LATIN1"),
        ({"a.txt": "“quoted”\n".encode("cp1252") * 99}, r"a\.txt: not UTF-8 text .*iconv -f CP1252"),
        ({"a.txt": "text\n".encode("utf-16-le") * 99}, r"a\.txt: holds zero bytes.*UTF-16LE"),
        ({"a.jsonl": rows(TEXT)[:-9]}, r"a\.jsonl, line 4000: not JSON"),
        ({"a.jsonl": '{"content": "x"}\n'}, r"a\.jsonl, line 1: no text under 'text', has content"),
        ({"a.txt.gz": gzip.compress(TEXT.encode())[:-999]}, r"a\.txt\.gz: truncated or damaged"),
        ({"a.parquet": b"PAR1" + b"x" * 99}, r"a\.parquet: truncated or damaged"),
        (
            {"a.txt": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 107\n"},
            r"a\.txt: is a Git LFS pointer",
        ),
        ({"a.txt.gz": b""}, r"a\.txt\.gz: truncated or damaged \(it is empty\)"),
        ({"a.txt.xz": TEXT}, r"a\.txt\.xz: truncated or damaged"),
        ({"a.jsonl": '{"text": null}\n'}, r"a\.jsonl, line 1: no text under 'text', which is null"),
        ({"a.jsonl": '{"text": 7}\n'}, r"a\.jsonl, line 1: 'text' is int, must be text"),
        ({"a.jsonl": '{"text": "\\ud800"}\n'}, r"a\.jsonl, line 1: holds '\\ud800', half of a character"),
        ({"a.jsonl": "[" * 100_000}, r"a\.jsonl, line 1: not JSON"),
        ({"a.parquet": table(7)}, r"a\.parquet, row 0: 'text' is int, must be text"),
        ({"README.md": TEXT}, "no text there; has README.md"),
        ({"wiki.valid.txt": TEXT, "wiki.test.txt": TEXT}, "names the split .*but no file names train"),
        (
            {"wiki.train.tokens": TEXT, "wiki.train.raw": TEXT, "valid.txt": TEXT},
            "one text in two forms.*--glob",
        ),
        ({"train journey.txt": "x\n"} | {f"{n}.txt": TEXT for n in range(9)}, "9 files .* would be left out"),
        ({f"train/{n}.txt": TEXT for n in range(60)} | {"test/1.txt": "x\n"}, "would be the whole test text"),
        ({"program.py": "x = 1\n"}, "no text there; has program.py.*--glob"),
    ],
)
def test_what_is_not_read_right_is_refused_by_name(files, message, prepared, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        prepared(files)
    assert not list(tmp_path.glob("out*/*")), "nothing stays"


@pytest.mark.parametrize(
    ("files", "splits", "said"),
    [
        (("TrainSet.txt", "ValSet.txt"), ("TrainSet.txt", "ValSet.txt"), "held out for test"),
        (("train.txt", "eval.txt"), ("train.txt", "eval.txt"), "validation: 1 file"),
        (("train.txt", "valid.txt", ".x/train-2.txt"), ("train.txt", "valid.txt"), "train: 1 file"),
        (("train.txt", "README.txt", "x.csv"), ("train.txt",), "left out: README.txt"),
        (("train-00001-of-00003.txt",), ("train-00001-of-00003.txt",), "train: 1 file (1 of 3 parts), "),
        (("train-0-of-1.txt",), ("train-0-of-1.txt",), "train: 1 file, "),
        (("train.txt", "x.csv"), ("train.txt",), "1 file of other kinds not read: x.csv"),
    ],
)
def test_which_file_is_which_split_is_said_and_recorded(files, splits, said, prepared):
    store, lines = prepared(dict.fromkeys(files, TEXT))
    assert store.facts["files"] == {
        split: [name] for split, name in zip(("train", "validation"), splits, strict=False)
    }
    assert any(said in line for line in lines)


def test_a_pattern_that_is_none_is_refused(prepared):
    for pattern in ("", "/etc/*.txt"):
        with pytest.raises(
            InvalidInput, match=rf"--glob '{re.escape(pattern)}': .*must be a pattern below the folder"
        ):
            prepared({"a.txt": TEXT}, glob=pattern)


def test_words_in_the_names_of_documents_are_no_splits(prepared):
    files = {f"doc{n:03d}.txt": f"document {n} says this\n" * 9 for n in range(300)}
    store, _ = prepared(files | {"how to test.txt": "hello\n", "dev diary.txt": "dear\n"})
    assert list(store.facts["files"]) == ["train"]
    assert len(store.facts["files"]["train"]) == 302


@pytest.mark.parametrize("size", [60_000, 400_000])
def test_as_much_is_held_out_of_one_file_as_was_asked_for(size, prepared):
    store, _ = prepared({"all.txt": (TEXT * 20)[:size]})
    lengths = {split: len(values) for split, values in tokens(store).items()}
    for split in ("validation", "test"):
        assert lengths[split] / sum(lengths.values()) == pytest.approx(0.05, abs=0.01)


def test_documents_are_held_out_whole_and_every_run_ends():
    draws = np.random.default_rng(0)
    pieces = []
    for size in draws.integers(1, 4, 500):
        pieces += [Piece("x" * 100, ends=n == size - 1, document=100 * int(size)) for n in range(size)]
    found = list(placed(iter(pieces), HoldOut("train", ["validation", "test"], 0.1, 1000)))
    inside = None
    for where, piece, _ in found:
        assert inside in (None, where), "a document is in one split"
        inside = None if piece.ends else where
    shares = [sum(w == split for w, _, _ in found) / len(found) for split in ("validation", "test")]
    assert shares == pytest.approx([0.1, 0.1], abs=0.01)
    long = [Piece("y" * 100, ends=n == 99, document=10_000) for n in range(100)]
    cut = list(placed(iter(long), HoldOut("train", ["test"], 0.1, 1000)))
    assert {where for where, _, _ in cut} == {"train", "test"}
    for (one, piece, _), (other, _, _) in itertools.pairwise(cut):
        assert one == other or piece.ends


def headed(values, magic=20240520, version=1, count=None):
    header = np.zeros(256, np.int32)
    header[:3] = magic, version, len(values) if count is None else count
    return header.tobytes() + values.tobytes()


def with_padding(dtype):
    """Tokens with what Hugging Face writes for "no target"."""
    values = TOKENS.astype(dtype)
    values[::100] = -100
    return values


def in_numpy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


TOKENS = np.random.default_rng(0).integers(0, 600, 50_000).astype(np.uint16)


@pytest.mark.parametrize(
    ("train", "dtype"),
    [
        ({"train.bin": TOKENS.tobytes()}, "uint16"),
        ({f"x_train_{n}.bin": TOKENS[5000 * n : 5000 * n + 5000].tobytes() for n in range(10)} , "uint16"),
        ({f"train{n}.bin": TOKENS[2500 * n : 2500 * n + 2500].tobytes() for n in range(20)} , "uint16"),
        ({"train.bin": TOKENS.astype(np.uint32).tobytes()}, "uint32"),
        ({"train.bin": TOKENS.astype(np.int64).tobytes()}, "uint32"),
        ({"fineweb_train_000001.bin": headed(TOKENS)}, "uint16"),
        ({"train.bin": headed(TOKENS.astype(np.uint32), 20240801, 7)}, "uint32"),
        ({"train.bin": TOKENS.tobytes(), "training_args.bin": b"PK\x03\x04rest"}, "uint16"),
    ],
)  # fmt: skip
def test_token_files_are_read_as_what_they_are(train, dtype, prepared):
    header = next(iter(train.values()))[:4] == headed(TOKENS)[:4]
    wide = dtype == "uint32"
    val = TOKENS[:1000].astype(np.uint32 if wide else np.uint16)
    if "fineweb" in next(iter(train)):
        val_file = {"fineweb_val_000000.bin": headed(TOKENS[:1000])}
    elif wide and len(next(iter(train.values()))) == 8 * len(TOKENS):
        val_file = {"val.bin": TOKENS[:1000].astype(np.int64).tobytes()}
    else:
        val_file = {"val.bin": val.tobytes()}
    assert header or "fineweb" not in next(iter(train))
    store, _ = prepared(train | val_file, tokenizer=None)
    assert np.array_equal(store.array("train"), TOKENS)
    assert store.array("train").dtype == dtype
    assert np.array_equal(np.concatenate([store.array("validation"), store.array("test")]), TOKENS[:1000])
    assert store.facts["vocabulary"] == 600


@pytest.mark.parametrize(
    ("files", "tokenizer", "message"),
    [
        ({"train.bin": TOKENS.tobytes() + b"\1"}, None, r"train\.bin: has an odd number of bytes, 100,001"),
        ({"val.bin": b""}, None, r"val\.bin: is empty"),
        ({"train.bin": headed(TOKENS, version=2)}, None, r"train\.bin: llm\.c's header has version 2"),
        ({"train.bin": headed(TOKENS, count=60_000)}, None, r"train\.bin: its header says 60,000 tokens"),
        ({"train_2.bin": TOKENS.astype(np.uint32).tobytes()}, None, r"train_2\.bin: its tokens seem to be uint32"),
        ({"train.bin": headed(TOKENS)[:1000]}, None, r"train\.bin: its header says 50,000 tokens"),
        ({"train.bin": headed(TOKENS[:0])}, None, r"train\.bin: its header says no tokens"),
        ({"train.bin": TOKENS.astype(np.uint32).tobytes()}, None, r"val\.bin: its tokens seem to be uint16, and those"),
        ({"train.bin": TOKENS.astype(">u4").tobytes()}, None, r"train\.bin: its tokens seem to be big-endian"),
        ({"train.bin": TOKENS.astype(">i8").tobytes()}, None, r"train\.bin: its tokens seem to be big-endian"),
        ({"train.bin": with_padding("<i4").tobytes()}, None, r"train\.bin: has negative numbers, of 32 bits"),
        ({"train.bin": with_padding("<i8").tobytes()}, None, r"train\.bin: has negative numbers, of 32 bits"),
        ({"train_1.npy": in_numpy(with_padding("<i8"))}, None, "all shards of a data set must have one type"),
        ({"train.bin": b"PK\x03\x04", "train.npy": in_numpy(with_padding("<i8"))}, None, r"numbers from -100 to 599"),
        ({}, "bpe:2000", "contain tokens, from which no tokenizer can be learnt"),
    ],
)  # fmt: skip
def test_token_files_that_do_not_fit_are_named(files, tokenizer, message, prepared):
    good = {"train.bin": TOKENS.tobytes(), "val.bin": TOKENS.tobytes()}
    with pytest.raises(InvalidInput, match=message):
        prepared(good | files, tokenizer=tokenizer)


def test_a_foreign_bin_does_not_hide_the_texts(prepared):
    store, said = prepared({f"{n}.txt": t for n, t in PARTS.items()} | {"pytorch_model.bin": b"PK\x03\x04"})
    assert store.facts["tokenizer"] == "bpe:300"
    assert any("pytorch_model.bin" in line for line in said)


def test_few_or_small_numbers_stay_16_bit(tmp_path):
    letters = np.random.default_rng(1).integers(0, 4, 5000).astype(np.uint16)
    letters.tofile(tmp_path / "dna.bin")
    assert token_file(tmp_path / "dna.bin").dtype == "uint16"


@pytest.fixture(scope="module")
def plain():
    """A byte-level tokenizer of 300 tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer.to_str()


def truncated(text):
    tokenizer = Tokenizer.from_str(text)
    tokenizer.enable_truncation(8)
    return tokenizer.to_str()


def padded(text):
    tokenizer = Tokenizer.from_str(text)
    tokenizer.enable_padding(pad_id=0, pad_token="<|endoftext|>")
    return tokenizer.to_str()


def with_dropout(text):
    fields = json.loads(text)
    fields["model"]["dropout"] = 0.5
    return json.dumps(fields)


@pytest.mark.parametrize("change", [truncated, padded, with_dropout])
def test_what_a_tokenizer_was_saved_with_does_not_change_the_text(change, plain, tmp_path):
    (tmp_path / "tokenizer.json").write_text(change(plain))
    pieces = [Piece(TEXT[:n], ends=True) for n in (10, 500, 9000)]
    expected = BytePairs(Tokenizer.from_str(plain), "x").encode(pieces)
    for name in (str(tmp_path / "tokenizer.json"), str(tmp_path)):
        assert byte_pairs(name, ()).encode(pieces) == expected


def test_a_vocabulary_with_a_gap_has_a_row_for_its_highest_number(plain, prepared, tmp_path):
    fields = json.loads(plain)
    vocabulary = fields["model"]["vocab"]
    vocabulary[max(vocabulary, key=vocabulary.get)] = 70_000
    (tmp_path / "tokenizer.json").write_text(json.dumps(fields))
    store, _ = prepared({f"{n}.txt": t for n, t in PARTS.items()}, tokenizer=str(tmp_path / "tokenizer.json"))
    assert store.facts["vocabulary"] == 70_001
    assert store.array("train").dtype == np.uint32
    assert store.array("train").max() == 70_000
