"""Archives are unpacked into their own folder alone, also by a Python whose `tarfile` has no filters."""

import errno
import gzip
import io
import sys
import tarfile
import zipfile

import pytest

from ire.invalid_input import InvalidInput
from trainables.data import originals
from trainables.data.originals import files_below, fingerprint, unpack, unpacked
from trainables.data.tar_shards import TarShards

FILTERS_BY_DEFAULT = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="extracts nothing without a filter"
)


@pytest.fixture(
    params=[True, pytest.param(False, marks=FILTERS_BY_DEFAULT)], ids=["with filters", "before Python 3.11.4"]
)
def has_filters(request, monkeypatch):
    if not request.param:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
        monkeypatch.delattr(tarfile, "FilterError", raising=False)


def packed(path, name: str, **fields):
    member = tarfile.TarInfo(name)
    member.size = 3
    for field, value in fields.items():
        setattr(member, field, value)
    with tarfile.open(path, "w") as archive:
        archive.addfile(member, io.BytesIO(b"abc"))
    return path


def test_files_come_out_as_they_went_in(has_filters, tmp_path):
    unpack(packed(tmp_path / "a.tar", "deep/one.txt"), tmp_path / "out")
    assert (tmp_path / "out" / "deep" / "one.txt").read_bytes() == b"abc"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("../one.txt", {}),
        ("deep/../../one.txt", {}),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc", "size": 0}),
        ("pipe", {"type": tarfile.FIFOTYPE, "size": 0}),
    ],
)
def test_what_would_write_elsewhere_is_refused(has_filters, tmp_path, name, fields):
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidInput, match="a member is refused"):
        unpack(packed(tmp_path / "a.tar", name, **fields), tmp_path / "out")
    assert not [path for path in tmp_path.rglob("*") if path.name not in ("a.tar", "out")]


def tarred(path, **files: bytes):
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def zipped(path, member="b.txt", **fields):
    info = zipfile.ZipInfo(member)
    info.create_system = 3
    for field, value in fields.items():
        setattr(info, field, value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"abc")
    return path


def test_a_tar_file_whose_last_member_is_a_zip_file_is_a_tar_file(tmp_path):
    inner = zipped(tmp_path / "inner.zip", "a.txt").read_bytes()
    unpack(tarred(tmp_path / "a.tar", **{"a.txt": b"right", "inner.zip": inner}), tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_bytes() == b"right"
    assert (tmp_path / "out" / "inner.zip").read_bytes() == inner


@pytest.mark.parametrize("damage", ["cut before a header", "cut in a header", "cut before the end", "turned"])
def test_a_tar_file_that_lacks_members_is_not_taken_for_a_shorter_one(damage, tmp_path):
    path = tarred(tmp_path / "a.tar", **{"0.txt": b"zero", "1.txt": b"one", "2.txt": b"two"})
    content = bytearray(path.read_bytes())
    second, end = 2 * tarfile.BLOCKSIZE, 6 * tarfile.BLOCKSIZE
    content[second] ^= damage == "turned"
    length = {"cut before a header": second, "cut in a header": second + 100, "cut before the end": end}
    path.write_bytes(content[: length.get(damage)])
    with pytest.raises(InvalidInput, match=r"a\.tar: truncated or damaged"):
        unpack(path, tmp_path / "out")
    with pytest.raises(InvalidInput, match=r"a\.tar: not a whole, uncompressed tar file"):
        TarShards(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"external_attr": 0o120777 << 16}, "is a link"), ({"flag_bits": 1}, "is encrypted")],
)
def test_a_link_or_a_secret_in_a_zip_file_is_not_taken_for_text(fields, message, tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", **fields)
    if "flag_bits" in fields:  # which `zipfile` does not write
        content = path.read_bytes()
        at = content.index(b"PK\x01\x02") + 8
        path.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    with pytest.raises(InvalidInput, match=rf"'b\.txt' {message}"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_compressed_file_that_is_cut_in_its_first_block_is_damaged_whatever_its_name(tmp_path):
    (tmp_path / "a.download").write_bytes(gzip.compress(b"x" * 5000)[:12])
    with (
        pytest.raises(InvalidInput, match=r"a\.download: truncated or damaged"),
        unpacked(tmp_path / "a.download", tmp_path / "out", lambda _: None),
    ):
        pass


def test_a_full_disk_is_not_a_damaged_archive(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(originals, "_take_out", full)
    with pytest.raises(OSError, match="No space left") as caught:
        unpack(tarred(tmp_path / "a.tar", a=b"abc"), tmp_path / "out")
    assert not isinstance(caught.value, InvalidInput)


def test_no_file_behind_a_link_is_left_out_or_read_twice(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root / "a", root / ".cache" / "b", elsewhere):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    (root / "outside").symlink_to(elsewhere)
    (root / "twice").symlink_to(root / "a")
    (root / "kept").symlink_to(root / ".cache" / "b")
    (elsewhere / "back").symlink_to(root)
    (root / "up").symlink_to(tmp_path)
    found = [path.relative_to(root).as_posix() for path in files_below(root)]
    assert found == ["a/file", "kept/file", "outside/file"]
    (root / "a" / "lost").symlink_to(".git/annex/objects/x")
    with pytest.raises(
        InvalidInput, match=r"a/lost: is a link to '\.git/annex/objects/x', which does not exist"
    ):
        files_below(root)


def test_a_name_that_is_not_utf_8_has_a_fingerprint(tmp_path):
    (tmp_path / "\udcff.txt").write_text("x")
    assert fingerprint(tmp_path)
