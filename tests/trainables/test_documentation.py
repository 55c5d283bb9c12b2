"""The worked example of `docs/tasks.md`, run exactly as printed."""

import textwrap
from pathlib import Path

import pytest

from search_spaces import find_space
from trainables.loop import FINISHED, train
from trainables.methods import all_methods, parse_method
from trainables.trial import TrialSpec

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"


def printed(page: str, title: str) -> str:
    """The indented block after the line that begins with `title`."""
    lines = []
    for line in page.partition(f"\n{title}")[2].splitlines()[1:]:
        if line and not line.startswith("    "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines))


def test_the_task_of_the_documentation_trains(tmp_path, monkeypatch):
    (tmp_path / "my_tasks").mkdir()
    for name in ("moons.py", "moons.toml"):
        (tmp_path / "my_tasks" / name).write_text(printed(PAGE.read_text(), f"`my_tasks/{name}`"))
    monkeypatch.syspath_prepend(tmp_path)
    space = find_space("my_tasks.moons:Moons")
    for name in space.methods:
        assert name in all_methods()
        space.check_rungs(parse_method(name))
    method = parse_method("sgd-ire")
    spec = TrialSpec(
        task="my_tasks.moons:Moons",
        method="sgd-ire",
        settings=method.resolve(space.published(method)),
        seed=0,
        horizon=space.horizon,
        eval_interval=space.eval_interval,
    )
    reports = []
    assert train(spec, lambda r, _: reports.append(r) or True) == FINISHED
    assert reports[-1]["val_loss"] == pytest.approx(0.27, abs=0.15)
