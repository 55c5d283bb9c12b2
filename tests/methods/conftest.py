"""Classes from outside the package, as a user has them: modules that tests import by name."""

import sys
import textwrap

import pytest


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of optimizer classes that `module:Class` finds, under a name of its own; returns the name."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def write(text: str) -> str:
        name = f"lab_{tmp_path.name.replace('-', '_')}_{len(made)}"
        (tmp_path / f"{name}.py").write_text("import torch\n" + textwrap.dedent(text))
        made.append(name)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)
