"""Data is one source's, known by its checksums, and no trial goes on with other data than it began with."""

import hashlib
import json
import os
import shutil
import tarfile

import numpy as np
import pytest
from small_data import write_cifar, write_image_folder, write_text

from ire.invalid_input import InvalidInput
from ire.sweeps.findings.pooling import _check_data
from trainables.data.folder import VARIABLE
from trainables.data.store import open_store
from trainables.task import load_task
from trainables.task_data.prepare import prepare
from trainables.training.loop import FINISHED, STOPPED, train

TASK = "wikitext2@tiny"


def quiet(_):
    pass


@pytest.fixture
def texts(tmp_path):
    """Two texts of the same words in another order."""
    write_text(tmp_path / "A")
    (tmp_path / "B").mkdir()
    for path in (tmp_path / "A").iterdir():
        lines = path.read_text().splitlines()
        (tmp_path / "B" / path.name).write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    return tmp_path / "A", tmp_path / "B"


def visible(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_identity_is_that_of_the_content_wherever_it_lies(texts, tmp_path, monkeypatch):
    found = {}
    for place, source in (("one", texts[0]), ("two", texts[0]), ("three", texts[1])):
        monkeypatch.setenv(VARIABLE, str(tmp_path / place))
        prepare("wikitext2", source=source, say=quiet)
        found[place] = load_task(TASK).data_identity()
    assert found["one"] == found["two"] != found["three"]
    assert found["one"].startswith("wikitext2 sha256 ")
    assert ", tokenizer " in found["one"]
    assert found["one"].endswith(f"vocabulary {load_task(TASK).store.facts['vocabulary']}")


def test_another_source_takes_the_place_of_the_data_only_if_it_is_told_to(texts, data):
    first, second = texts
    prepare("wikitext2", source=first, say=quiet)
    before = load_task(TASK).data_identity()
    with pytest.raises(
        InvalidInput, match=r"already holds wikitext2 sha256 .* made from '.*A'.*'.*B' add --replace"
    ):
        prepare("wikitext2", source=second, say=quiet)
    assert load_task(TASK).data_identity() == before
    said = []
    prepare("wikitext2", source=first, say=said.append)
    assert "made from the same files" in said[0]
    prepare("wikitext2", source=second, replace=True, say=quiet)
    assert load_task(TASK).data_identity() != before
    assert visible(data) == ["wikitext2"], "neither the old data nor a lock stays"


def test_a_refused_replacement_leaves_the_data_as_it_was(texts, tmp_path, data):
    prepare("wikitext2", source=texts[0], say=quiet)
    before = load_task(TASK).data_identity()
    (tmp_path / "none").mkdir()
    with pytest.raises(InvalidInput, match="no text there"):
        prepare("wikitext2", source=tmp_path / "none", replace=True, say=quiet)
    assert load_task(TASK).data_identity() == before
    assert visible(data) == ["wikitext2"]


def test_damaged_data_is_not_replaced_by_other_data(texts, data):
    prepare("wikitext2", source=texts[0], say=quiet)
    (data / "wikitext2" / "test.bin").unlink()
    with pytest.raises(InvalidInput, match="is damaged, and the source is not the data it was made from"):
        prepare("wikitext2", source=texts[1], say=quiet)
    prepare("wikitext2", source=texts[0], say=quiet)
    open_store(data / "wikitext2", remedy="").verify()


def test_prepared_data_beside_the_originals_is_not_read(texts, tmp_path):
    """As with `--from . --dir data`, for one task after another."""
    source = texts[0]
    for task in ("minipile-llama119m", "wikitext103-llama60m"):
        prepare(task, into=source / "data", source=source, tokenizer="bpe:300", say=quiet)
    made = open_store(source / "data" / "wikitext103", remedy="")
    assert made.facts["tokenizer"] == "bpe:300"
    said = []
    prepare("minipile-llama119m", into=source / "data", source=source, tokenizer="bpe:300", say=said.append)
    assert "made from the same files" in said[0]


def test_a_pipe_is_refused_as_a_source(tmp_path, data):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="pipe': neither a file nor a folder"):
        prepare("wikitext2", source=tmp_path / "pipe", say=quiet)


def test_data_is_never_prepared_from_itself(tmp_path, data):
    write_image_folder(tmp_path / "images", classes=2, train=3, test=3)
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        archive.add(tmp_path / "images", "images")
    made = prepare("imagenet-resnet50", source=tmp_path / "images.tar", say=quiet)
    with pytest.raises(
        InvalidInput, match=r"originals': lies in the prepared data, .*, which it would replace"
    ):
        prepare("imagenet-resnet50", source=made / "originals", replace=True, say=quiet)
    assert len(list(made.rglob("*.JPEG"))) == 12


def test_a_replacement_that_was_cut_off_between_its_renames_is_undone(texts, data):
    prepare("wikitext2", source=texts[0], say=quiet)
    before = load_task(TASK).data_identity()
    (data / "wikitext2").rename(data / ".wikitext2.old")
    prepare("wikitext2", say=quiet)
    assert load_task(TASK).data_identity() == before


def test_a_replacement_that_was_cut_off_after_its_renames_is_ended(texts, data):
    prepare("wikitext2", source=texts[0], say=quiet)
    shutil.copytree(data / "wikitext2", data / ".wikitext2.old")
    prepare("wikitext2", source=texts[1], replace=True, say=quiet)
    assert visible(data) == ["wikitext2"]


def test_archives_are_never_mixed_and_nothing_unpacked_stays(tmp_path, data):
    for name, count in (("A", 100), ("B", 50)):
        write_cifar(tmp_path / name, 10, train=count, test=10)
        with tarfile.open(tmp_path / f"{name}.tgz", "w:gz") as archive:
            archive.add(tmp_path / name, "cifar-10-batches-py")
        prepare("cifar10-resnet56", source=tmp_path / f"{name}.tgz", replace=True, say=quiet)
        store = load_task("cifar10-resnet56").data.open(task="")
        assert len(store.array("train-labels")) == count
        assert visible(data / "cifar10") == [
            "index.json",
            *(f"{s}-{w}.bin" for s in ("test", "train") for w in ("images", "labels")),
        ]


def test_a_trial_is_not_continued_on_other_data(texts, data, make_spec, tmp_path):
    prepare("wikitext2", source=texts[0], say=quiet)
    spec = make_spec("sgd", task=TASK, settings={"lr": 0.1}, horizon=8, eval_interval=4)

    def run(stop=None, spec=spec):
        return train(
            spec, lambda values, _: values["step"] != stop, checkpoint=tmp_path / "c", checkpoint_seconds=0
        )

    before = load_task(TASK).data_identity()
    assert run(stop=4) == STOPPED
    prepare("wikitext2", source=texts[1], replace=True, say=quiet)
    now = load_task(TASK).data_identity()
    with pytest.raises(InvalidInput) as caught:
        run()
    assert before in str(caught.value)
    assert now in str(caught.value)
    prepare("wikitext2", source=texts[0], replace=True, say=quiet)
    assert run() == FINISHED


def test_a_worker_refuses_a_trial_of_a_sweep_on_other_data(texts, data, make_spec):
    prepare("wikitext2", source=texts[0], say=quiet)
    spec = make_spec("sgd", task=TASK, settings={"lr": 0.1}, data="wikitext2 sha256 0123", name="sgd-0000")
    with pytest.raises(
        InvalidInput, match=r"the sweep of sgd-0000 was made with the data 'wikitext2 sha256 0123', but"
    ):
        train(spec, lambda *_: True)


def test_sweeps_on_other_data_of_one_name_are_not_compared():
    from types import SimpleNamespace as Plan

    one, other = Plan(name="a", data="cifar10 sha256 1"), Plan(name="b", data="cifar10 sha256 2")
    with pytest.raises(
        InvalidInput, match="a was run on the data 'cifar10 sha256 1', b on 'cifar10 sha256 2'"
    ):
        _check_data(one, other)
    for compatible in (one, Plan(name="c", data=None), Plan(name="d", data="cifar100 sha256 3")):
        _check_data(one, compatible)


def test_data_prepared_by_earlier_versions_opens(data):
    """Words in `words.txt`, an index that tells neither encodings nor an origin."""
    folder = data / "wikitext2"
    folder.mkdir(parents=True)
    (folder / "words.txt").write_text("<unk>\n<eos>\nthe\ncat\n")
    tokens = np.array([2, 3, 1] * 200, np.uint16)
    arrays = {}
    for split in ("train", "validation", "test"):
        tokens.tofile(folder / f"{split}.bin")
        arrays[split] = {
            "file": f"{split}.bin",
            "shape": [len(tokens)],
            "dtype": "uint16",
            "sha256": hashlib.sha256(tokens.tobytes()).hexdigest(),
        }
    facts = {"vocabulary": 4, "tokenizer": "words"}
    (folder / "index.json").write_text(json.dumps({"format": 1, "arrays": arrays, "facts": facts}))
    prepare("wikitext2", say=quiet)
    from trainables.data.text.encoders import decoded

    assert decoded([2, 3, 1], folder) == "the cat <eos>"
    assert load_task(TASK).data_identity().endswith("vocabulary 4")


def test_names_that_others_chose_are_shown_and_not_obeyed(texts, tmp_path, monkeypatch, capsys):
    (texts[0] / "train.txt").rename(texts[0] / "train\x1b[31m\udcff.txt")
    monkeypatch.setattr("typer.echo", print)  # a terminal, whose codes typer does not strip
    from ire.sweeps.command.data import prepare as command

    command(task="minipile-llama119m", into=tmp_path / "out", source=texts[0], tokenizer="bpe:300")
    assert r"train\x1b[31m\udcff.txt" in capsys.readouterr().out
