"""The worked example of `docs/tasks.md`, run exactly as printed; the names that `docs/companion.md` tells."""

import re
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput
from ire.methods.method import all_methods, parse_method
from ire.methods.updates import UPDATES
from ire.sweeps.command.app import app
from ire.trial.spec import TrialSpec
from search_spaces import find_space
from trainables.task import load_task, task_names
from trainables.tasks.families.large_batch import LargeBatchTask
from trainables.training.loop import FINISHED, train

PAGE = Path(__file__).parents[3] / "docs" / "tasks.md"


def printed(page: str, title: str) -> str:
    """The indented block after the line that begins with `title`."""
    lines = []
    for line in page.partition(f"\n{title}")[2].splitlines()[1:]:
        if line and not line.startswith("    "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines))


@pytest.fixture
def my_tasks(tmp_path, monkeypatch):
    """The folder of the page's example, in which its commands are run; a place for more such tasks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    folder = tmp_path / "my_tasks"
    folder.mkdir()
    for name in ("sine.py", "sine.toml"):
        (folder / name).write_text(printed(PAGE.read_text(), f"`my_tasks/{name}`"))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_tasks"]:
        del sys.modules[name]


def test_the_commands_of_the_documentation_run_as_printed(my_tasks):
    train, spaces = (
        re.search(rf"`ire ({name} my_tasks[^`]+)`", PAGE.read_text())[1] for name in ("train", "spaces")
    )
    for command in (train, f"{train} --scale tiny", spaces):
        result = CliRunner().invoke(app, command.split(), catch_exceptions=False)
        assert result.exit_code == 0
        assert ("finished" if command != spaces else "a noisy sine") in result.output


def test_a_task_whose_data_is_a_method_is_told_so(my_tasks):
    text = (my_tasks / "sine.py").read_text()
    (my_tasks / "shadow.py").write_text(text.replace("def points", "def data"))
    with pytest.raises(InvalidInput, match=r"`data` is the property .* Sine makes it a method"):
        load_task("my_tasks.shadow:Sine")


@pytest.mark.parametrize("task", ["my_tasks.sine:Sine", "my_tasks.sine:Sine@tiny"])
def test_the_task_of_the_documentation_trains(task, my_tasks):
    load_task(task).check_data()
    space = find_space(task)
    for name in space.methods:
        assert name in all_methods()
        space.check_rungs(parse_method(name))
    method = parse_method("sgd-ire")
    spec = TrialSpec(
        task=task,
        method="sgd-ire",
        settings=method.resolve(space.published(method)),
        seed=0,
        horizon=space.horizon,
        eval_interval=space.eval_interval,
    )
    reports = []
    assert train(spec, lambda r, _: reports.append(r) or True) == FINISHED
    assert reports[-1]["skipped_refreshes"] == 0
    assert reports[-1]["flat_fraction"] == pytest.approx(0.8, abs=0.03)
    assert 0.1 < reports[-1]["val_loss"] < 0.25  # the noise alone is 0.125


def test_the_curvature_hook_of_the_documentation_estimates_the_fisher_diagonal():
    namespace: dict = {}
    exec(printed(PAGE.read_text(), "`my_tasks/sine.py`"), namespace)
    task = namespace["Sine"]()
    task.width = 3
    torch.manual_seed(0)
    model = task.model()
    x, y = task.points("train", 8)
    parameters = list(model.parameters())
    found = torch.zeros(sum(p.numel() for p in parameters))
    draws = torch.Generator().manual_seed(1)
    for _ in range(2000):
        loss = task.sampled_loss(model(x), (x, y), generator=draws)
        found += torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]) ** 2
    found *= len(x) / 2000
    rows = [torch.cat([g.flatten() for g in torch.autograd.grad(model(one), parameters)]) for one in x]
    exact = (torch.stack(rows) ** 2).mean(0)  # of a Gaussian of variance 1: J^T J
    assert torch.allclose(found, exact, rtol=0.15)


def test_the_companion_page_names_every_update_setting_and_workload():
    page = (Path(__file__).parents[3] / "docs" / "companion.md").read_text()
    for update in UPDATES:
        assert f"| `sgd-{update}` |" in page
    for setting in (
        "lambda",
        "micro_batch",
        "denoise",
        "micro_grad_norm",
        "grad_norm",
        "penalty",
        "step_length",
    ):
        assert f"`{setting}`" in page
    for task in task_names():
        if issubclass(type(load_task(task)), LargeBatchTask):
            assert f"`{task}`" in page
