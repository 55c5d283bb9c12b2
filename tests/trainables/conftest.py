"""Modules beside the tests can be imported by name; a data folder of a test's own."""

import sys
from pathlib import Path

import pytest

from trainables.data.folder import VARIABLE

sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty data folder."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "data"))
    return tmp_path / "data"
