"""Archives are unpacked into their own folder alone, also by a Python whose `tarfile` has no filters."""

import io
import tarfile

import pytest

from ire.invalid_input import InvalidInput
from trainables.data.originals import unpack


@pytest.fixture(params=[True, False], ids=["with filters", "before Python 3.11.4"])
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
