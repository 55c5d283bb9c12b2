import errno
import io
from pathlib import Path

import pytest
import torch

import ire.storage.storage
import trainables.training.checkpoint
from ire.invalid_input import InvalidInput
from ire.storage.storage import below, open_storage, patiently
from trainables.training.checkpoint import load_checkpoint, placed_on, save_checkpoint
from trainables.training.loop import FINISHED, train


@pytest.fixture(params=["folder", "pyarrow"])
def location(request, tmp_path):
    return str(tmp_path / "store") if request.param == "folder" else f"file://{tmp_path}/store"


def test_what_is_written_is_listed_read_replaced_and_deleted(location):
    storage = open_storage(location)
    assert storage.names() == []
    storage.write("a/b.txt", b"one")
    storage.write("a/c.txt", b"two")
    storage.write("a/b.txt", b"three")
    assert storage.names() == storage.names("a") == ["a/b.txt", "a/c.txt"]
    assert storage.read("a/b.txt") == b"three"
    assert storage.size() == 8
    with pytest.raises(FileNotFoundError):
        storage.read("a/none.txt")
    storage.delete("a/b.txt")
    storage.delete("a/none.txt")
    assert storage.names() == ["a/c.txt"]
    storage.delete()
    assert storage.names() == []


@pytest.mark.parametrize(
    ("location", "names", "expected"),
    [
        ("/data/runs", ("x", "y.pt"), "/data/runs/x/y.pt"),
        ("s3://bucket/runs/", ("x",), "s3://bucket/runs/x"),
        (
            "s3://bucket?endpoint_override=http://localhost:1",
            ("x", "y"),
            "s3://bucket/x/y?endpoint_override=http://localhost:1",
        ),
    ],
)
def test_a_location_below_another_keeps_the_query(location, names, expected):
    assert below(location, *names) == expected


def test_an_unknown_kind_of_storage_is_refused_by_name():
    with pytest.raises(InvalidInput, match="'ftp://x/y': not a storage"):
        open_storage("ftp://x/y")


def state(step: int) -> dict:
    return {
        "step": step,
        "w": torch.full((1000,), float(step)),
        "reports": [{"step": step, "val_loss": None}],
    }


def test_the_latest_checkpoint_is_loaded_and_the_one_before_it_kept(location):
    assert load_checkpoint(location) is None
    for step in (9, 10, 100):
        save_checkpoint(state(step), location)
    assert [int(name[:10]) for name in open_storage(location).names()] == [10, 100]
    assert load_checkpoint(location)["step"] == 100


def test_what_the_host_held_is_on_the_host_again_and_only_the_rest_on_the_device(tmp_path):
    """torch refuses a generator's state on a GPU, and reads a step count there at every step, which waits."""
    save_checkpoint(state(1), tmp_path)
    assert load_checkpoint(tmp_path, device="meta")["w"].device.type == "cpu"
    storage = torch.ones(3).untyped_storage()
    assert placed_on("meta")(storage, "cuda:1").device.type == "meta"
    assert placed_on("cpu")(storage, "cuda:1").device.type == "cpu"


@pytest.mark.parametrize("damage", ["truncated", "emptied", "one bit"])
def test_a_damaged_checkpoint_is_recognised_and_the_one_before_it_is_used(tmp_path, damage):
    for step in (1, 2):
        save_checkpoint(state(step), tmp_path)
    latest = sorted(tmp_path.iterdir())[-1]
    content = bytearray(latest.read_bytes())
    if damage == "one bit":
        content[len(content) // 2] ^= 1
    latest.write_bytes(content[: {"truncated": -7, "emptied": 0, "one bit": None}[damage]])
    assert load_checkpoint(tmp_path)["step"] == 1


def test_a_trial_continues_from_the_checkpoint_before_a_damaged_one(make_spec, tmp_path):
    spec = make_spec("adamw-ire", horizon=18, eval_interval=3)
    whole = []
    train(spec, lambda r, _: bool(whole.append(r["val_loss"])) or True)
    train(spec, lambda r, _: r["step"] < 12, checkpoint=tmp_path, checkpoint_seconds=0)
    latest = sorted(tmp_path.iterdir())[-1]
    latest.write_bytes(latest.read_bytes()[:5000])
    resumed = []
    assert (
        train(spec, lambda r, _: bool(resumed.append(r["val_loss"])) or True, checkpoint=tmp_path) == FINISHED
    )
    assert resumed == whole


def test_a_failed_write_leaves_the_older_checkpoints_and_no_litter(tmp_path, monkeypatch):
    save_checkpoint(state(1), tmp_path)

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(state(2), tmp_path)
    assert load_checkpoint(tmp_path)["step"] == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_trial(make_spec, tmp_path, monkeypatch):
    troubles = []

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("trainables.training.loop.save_checkpoint", fail)
    spec = make_spec(eval_interval=6)
    kept = {"checkpoint": tmp_path, "checkpoint_seconds": 0}
    assert train(spec, lambda *_: True, on_trouble=troubles.append, **kept) == FINISHED
    assert [error.errno for error in troubles] == [errno.EIO] * 4
    with pytest.raises(OSError, match="Input/output"):
        train(spec, lambda *_: True, **kept)


class FullAfter:
    """A file on a disk that has so many bytes left."""

    def __init__(self, file, free):
        self._file, self._free = file, free

    def write(self, data):
        self._free -= memoryview(data).nbytes
        if self._free < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.mark.parametrize("free", [0, 100, 3000])
def test_a_disk_that_is_full_in_the_middle_of_a_checkpoint_says_so(make_spec, tmp_path, monkeypatch, free):
    opened, troubles = trainables.training.checkpoint.os.fdopen, []
    monkeypatch.setattr(
        trainables.training.checkpoint.os, "fdopen", lambda *args: FullAfter(opened(*args), free)
    )
    spec = make_spec(eval_interval=12)
    kept = {"checkpoint": tmp_path, "checkpoint_seconds": 0}
    assert train(spec, lambda *_: True, on_trouble=troubles.append, **kept) == FINISHED
    assert [error.errno for error in troubles] == [errno.ENOSPC] * 2
    assert not list(tmp_path.iterdir())


def test_a_pickle_that_runs_code_is_refused_even_with_the_right_checksum(tmp_path):
    class Payload:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    buffer = io.BytesIO()
    torch.save({"step": 1, "x": Payload()}, buffer)
    save_checkpoint(state(1), tmp_path / "c")
    (path,) = (tmp_path / "c").iterdir()
    checksum = trainables.training.checkpoint.hashlib.blake2b(buffer.getvalue(), digest_size=16).hexdigest()
    (path.parent / f"0000000002-{checksum}.pt").write_bytes(buffer.getvalue())
    with pytest.raises(Exception, match=r"[Ww]eights"):
        load_checkpoint(tmp_path / "c")
    assert not (tmp_path / "ran").exists()


def test_patience_outlasts_a_storage_that_goes_away_but_not_a_full_disk(monkeypatch):
    slept = []
    monkeypatch.setattr(ire.storage.storage.time, "sleep", slept.append)
    answers = [OSError(errno.EIO, "away"), OSError(errno.ESTALE, "stale"), "back"]

    def action():
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert patiently(action) == "back"
    assert slept == [0.5, 1.0]
    for error in (
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EFBIG, "too large"),
        OSError(errno.EROFS, "read-only"),
        FileNotFoundError(errno.ENOENT, "no such file"),
        PermissionError(errno.EACCES, "not yours"),
    ):
        answers[:] = [error, "never"]
        with pytest.raises(OSError, match=error.strerror):
            patiently(action)
    answers[:] = [OSError(errno.EIO, "away")]
    with pytest.raises(OSError, match="away"):
        patiently(action, seconds=0)
