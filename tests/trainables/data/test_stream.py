"""A stream of one's own: whatever the data set, batch t is a function of (seed, t), and resume is exact."""

import io
import itertools
import json
import random
import tarfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from ire.invalid_input import InvalidInput
from trainables.data.batch import equal
from trainables.data.own import TokenWindows, identity_of, saved_dataset
from trainables.data.stream import batches, once
from trainables.data.tar_shards import TarShards
from trainables.task import Task
from trainables.training.loop import FINISHED, STOPPED, train


class Augmented(Dataset):
    """Numbers with noise from every global source of random numbers."""

    def __len__(self):
        return 23

    def __getitem__(self, number):
        noise = torch.rand(()) + np.random.rand() + random.random()
        return {"x": torch.tensor([float(number), noise]), "meta": {"number": number}}


class Counted(IterableDataset):
    """Numbers from 0, with noise; an epoch counts on from the one before if it is told which it is."""

    def __init__(self, count=23):
        self.count, self.epoch = count, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        for number in range(self.count):
            yield torch.tensor([float(100 * self.epoch + number), torch.rand(())])


def taken(stream, count):
    found = list(itertools.islice(stream, count))
    stream.close()
    return found


@pytest.mark.parametrize(
    "options", [{}, {"shuffle": False}, {"workers": 2}], ids=["shuffled", "in order", "two workers"]
)
def test_a_map_style_data_set_goes_on_at_any_step(options):
    whole = taken(batches(Augmented(), batch_size=4, seed=3), 12)
    here = (
        whole
        if "shuffle" not in options
        else taken(batches(Augmented(), batch_size=4, seed=3, **options), 12)
    )
    for start in (0, 1, 5, 11):
        (again,) = taken(batches(Augmented(), batch_size=4, seed=3, start=start, **options), 1)
        assert equal(again, here[start])
    numbers = [batch["meta"]["number"].tolist() for batch in here]
    for epoch in (numbers[:5], numbers[5:10]):
        assert len({n for batch in epoch for n in batch}) == 20
    assert not equal(whole[0], taken(batches(Augmented(), batch_size=4, seed=4), 1)[0])


@pytest.mark.parametrize("options", [{}, {"buffer": 7}, {"workers": 1, "buffer": 7}])
def test_an_iterable_data_set_is_read_again_up_to_the_step(options):
    whole = taken(batches(Counted(), batch_size=4, seed=3, **options), 12)
    for start in (1, 5, 11):
        (again,) = taken(batches(Counted(), batch_size=4, seed=3, start=start, **options), 1)
        assert equal(again, whole[start])
    firsts = [batch[:, 0] // 100 for batch in whole]
    assert [first.unique().tolist() for first in firsts] == [[0]] * 5 + [[1]] * 5 + [[2]] * 2
    if not options:
        assert torch.cat(whole[:5])[:, 0].tolist() == list(range(20))


def test_trainings_own_random_numbers_are_not_touched():
    torch.manual_seed(1)
    random.seed(1)
    before = torch.rand(3), random.random()
    torch.manual_seed(1)
    random.seed(1)
    for dataset in (Augmented(), Counted()):
        taken(batches(dataset, batch_size=4, seed=3), 3)
    assert torch.equal(before[0], torch.rand(3))
    assert before[1] == random.random()


def test_evaluation_sees_every_example_once_and_in_order():
    for dataset, numbers in (
        (Augmented(), lambda batch: batch["meta"]["number"]),
        (Counted(), lambda batch: batch[:, 0].long()),
    ):
        found = list(once(dataset, batch_size=4))
        assert torch.cat([numbers(batch) for batch in found]).tolist() == list(range(23))
        assert all(map(equal, found, once(dataset, batch_size=4)))


def test_less_data_than_a_batch_is_refused():
    for dataset in (Augmented(), Counted()):
        with pytest.raises(InvalidInput, match=r"23 examples.* fill one batch of 24"):
            next(batches(dataset, batch_size=24, seed=0))
    with pytest.raises(InvalidInput, match="a int is not a data set"):
        next(batches(7, batch_size=1, seed=0))


def test_a_saved_hugging_face_data_set_is_mapped(tmp_path):
    import datasets

    rows = {"ids": [[n, n + 1] for n in range(12)], "labels": [n % 2 for n in range(12)], "text": ["x"] * 12}
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "saved"))
    loaded = saved_dataset(tmp_path / "saved", columns=["ids", "labels"])
    (batch,) = taken(batches(loaded, batch_size=4, seed=1, shuffle=False), 1)
    assert batch["ids"].tolist() == rows["ids"][:4]
    assert batch["labels"].tolist() == [0, 1, 0, 1]
    assert identity_of("mine", loaded) == identity_of(
        "mine", saved_dataset(tmp_path / "saved", columns=["ids", "labels"])
    )
    with pytest.raises(InvalidInput, match="not a data set that `save_to_disk` wrote"):
        saved_dataset(tmp_path)


def write_shard(path, numbers):
    with tarfile.open(path, "w") as archive:
        for number in numbers:
            picture = io.BytesIO()
            Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(picture, "PNG")
            for extension, content in (
                ("png", picture.getvalue()),
                ("cls", str(number % 3).encode()),
                ("json", json.dumps({"n": number}).encode()),
            ):
                member = tarfile.TarInfo(f"some/{number:04d}.{extension}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def test_the_examples_of_tar_shards_are_read_by_number(tmp_path):
    for shard in range(3):
        write_shard(tmp_path / f"train-{shard:02d}.tar", range(10 * shard, 10 * shard + 10))
    shards = TarShards(f"{tmp_path}/train-{{00..02}}.tar")
    assert len(shards) == 30
    assert shards[17]["__key__"] == "some/0017"
    assert shards[17]["png"].tolist() == torch.full((3, 4, 4), 17).tolist()
    assert (shards[17]["cls"], shards[17]["json"]) == (2, {"n": 17})
    pairs = TarShards(f"{tmp_path}/train-*.tar", transform=lambda example: (example["png"], example["cls"]))
    images, labels = taken(batches(pairs, batch_size=5, seed=2, start=3), 1)[0]
    assert torch.equal(images[:, 0, 0, 0] % 3, labels)
    assert shards[-1]["cls"] == 29 % 3
    with pytest.raises(IndexError):
        shards[30]
    assert pairs.fingerprint == shards.fingerprint != TarShards(tmp_path / "train-00.tar").fingerprint


def test_a_damaged_or_absent_shard_is_named(tmp_path):
    write_shard(tmp_path / "a.tar", range(10))
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[:9000])
    (tmp_path / "c.tar").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1079\n"
    )
    for name, message in (("b", "truncated|not a whole"), ("c", "Git LFS pointer"), ("d", "no file")):
        with pytest.raises(InvalidInput, match=rf"{name}\.tar.*({message})"):
            TarShards(tmp_path / f"{name}.tar")


def test_a_link_in_a_shard_is_not_a_missing_column(tmp_path):
    write_shard(tmp_path / "a.tar", range(2))
    with tarfile.open(tmp_path / "a.tar", "a") as archive:
        link = tarfile.TarInfo("some/0002.png")
        link.type, link.linkname = tarfile.LNKTYPE, "some/0000.png"  # as tar writes a file that it has seen
        archive.addfile(link)
    with pytest.raises(InvalidInput, match=r"'some/0002\.png' is a link .*--hard-dereference"):
        TarShards(tmp_path / "a.tar")


def test_windows_of_token_files_do_not_span_two_files(tmp_path):
    np.arange(100, dtype=np.uint16).tofile(tmp_path / "a_1.bin")
    np.arange(1000, 1050, dtype=np.uint16).tofile(tmp_path / "a_2.bin")
    windows = TokenWindows([tmp_path / "a_1.bin", tmp_path / "a_2.bin"], context=9)
    assert len(windows) == 11 + 5
    for inputs, targets in windows:
        assert torch.equal(inputs + 1, targets)
    assert windows[11][0].tolist() == list(range(1000, 1009))
    (batch,) = taken(batches(windows, batch_size=4, seed=0, start=2), 1)
    assert [part.shape for part in batch] == [(4, 9), (4, 9)]
    with pytest.raises(InvalidInput, match="no such file of tokens"):
        TokenWindows(tmp_path / "none.bin", context=9)


class Own(Task):
    """Dictionaries of a data set of one's own."""

    name, batch_size = "own", 8

    def model(self):
        return Named()

    def rows(self, name, count):
        x = torch.randn(count, 5, generator=torch.Generator().manual_seed(len(name)))
        return [{"x": row, "labels": (row[0] > 0).long(), "name": name} for row in x]

    def train_batches(self, *, seed, start):
        return batches(self.rows("train", 60), batch_size=self.batch_size, seed=seed, start=start)

    def eval_batches(self, split):
        return once(self.rows(split, 30), batch_size=16)

    def outputs(self, model, batch):
        return model(batch["x"])


class Named(nn.Linear):
    """Inputs (b, 5) to two logits."""

    def __init__(self):
        super().__init__(5, 2)


class Shuffled(Own):
    """As a first try looks: shuffled anew whenever it is asked."""

    def train_batches(self, *, seed, start):
        x = torch.randn(400, 5, generator=torch.Generator().manual_seed(7))
        while True:
            yield from DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=8, shuffle=True)


class Deaf(Own):
    """Begins at the beginning, wherever it is to begin."""

    def train_batches(self, *, seed, start):
        return batches(self.rows("train", 60), batch_size=self.batch_size, seed=seed)


class Ending(Own):
    """One batch, and no more."""

    def train_batches(self, *, seed, start):
        return itertools.islice(super().train_batches(seed=seed, start=start), 1)


class Ragged(Own):
    """Batches of another size than it says."""

    def train_batches(self, *, seed, start):
        return batches(self.rows("train", 60), batch_size=7, seed=seed, start=start)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Shuffled, "own: train_batches.* begins with another batch each time"),
        (Deaf, r"own: train_batches\(seed=5, start=1\) does not begin with the second batch"),
        (Ending, "own: train_batches ends after 1 batches; it must be endless"),
        (Ragged, "own: a training batch has 7 examples, but batch_size is 8"),
    ],
)
def test_a_stream_that_breaks_the_rule_is_refused_before_the_first_step(task, message, make_spec):
    with pytest.raises(InvalidInput, match=message):
        train(make_spec("sgd", task="own"), lambda *_: True, task=task())


@pytest.mark.parametrize("method", ["sgd-ire", "sgd-small-ire", "sgd-gn"])
def test_batches_that_are_dictionaries_train_and_resume_exactly(method, make_spec, tmp_path):
    spec = make_spec(method, task="own", settings={"micro_batch": 4})

    def run(stop=None):
        seen = []
        ended = train(
            spec,
            lambda values, _: seen.append(values["val_loss"]) or values["step"] != stop,
            task=Own(),
            checkpoint=tmp_path if stop or list(tmp_path.iterdir()) else None,
            checkpoint_seconds=0,
        )
        return ended, seen

    assert run(None)[0] == FINISHED
    whole = run()[1]
    assert run(stop=12)[0] == STOPPED
    assert run()[1] == whole


def test_the_example_of_the_documentation_trains(make_spec):
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    begin = page.index("    import torch\n")
    namespace = {}
    exec(textwrap.dedent(page[begin : page.index("\n- *Map-style*")]), namespace)
    reports = []
    spec = make_spec("sgd", task="line", settings={"lr": 0.5}, horizon=40, eval_interval=40)
    assert train(spec, lambda values, _: reports.append(values) or True, task=namespace["Line"]()) == FINISHED
    assert reports[-1]["val_accuracy"] > 0.85
