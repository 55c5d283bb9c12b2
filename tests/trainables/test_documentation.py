"""The worked example of `docs/tasks.md`, run exactly as printed."""

import textwrap
from pathlib import Path

import pytest

from trainables.loop import FINISHED, train
from trainables.trial import TrialSpec

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"


def test_the_task_of_the_documentation_trains(tmp_path, monkeypatch):
    text = PAGE.read_text().partition("`my_tasks/moons.py`:\n")[2]
    lines = []
    for line in text.splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line)
    (tmp_path / "my_tasks").mkdir()
    (tmp_path / "my_tasks" / "moons.py").write_text(textwrap.dedent("\n".join(lines)))
    monkeypatch.syspath_prepend(tmp_path)
    reports = []
    settings = {"lr": 0.1, "kappa": 2.0, "gamma": 0.8}
    spec = TrialSpec(
        task="my_tasks.moons:Moons",
        method="sgd-ire",
        settings=settings,
        seed=0,
        horizon=200,
        eval_interval=100,
    )
    assert train(spec, lambda r, _: reports.append(r) or True) == FINISHED
    assert reports[-1]["val_loss"] == pytest.approx(0.25, abs=0.15)
