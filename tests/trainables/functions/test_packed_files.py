"""A folder of files as tensors, and back."""

import pytest
import torch

from ire.invalid_input import InvalidInput
from trainables.functions.packed_files import packed, unpack


def test_files_come_back_as_they_were(tmp_path):
    (tmp_path / "deep").mkdir()
    contents = {"one.bin": bytes(range(256)), "deep/two.txt": b"two", "empty": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    files = packed(tmp_path, without=["absent"])
    (tmp_path / "other").mkdir()
    unpack(files, tmp_path / "other")
    assert {name: (tmp_path / "other" / name).read_bytes() for name in files} == contents
    assert set(packed(tmp_path / "other", without=["two.txt"])) == {"one.bin", "empty"}


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "..\\out", "C:out"])
def test_a_path_out_of_the_folder_is_refused(name, tmp_path):
    (tmp_path / "inside").mkdir()
    with pytest.raises(InvalidInput, match="lies outside"):
        unpack({name: torch.zeros(1, dtype=torch.uint8)}, tmp_path / "inside")
    assert [path.name for path in tmp_path.rglob("*")] == ["inside"]
