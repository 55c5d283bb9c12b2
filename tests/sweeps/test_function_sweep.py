"""A sweep of a training function: found by its path, searched, confirmed, killed and resumed like a task's."""

import io
import json
import shutil
import sys
import tomllib
from dataclasses import replace

import numpy as np
import own_script
import pytest
import tomli_w
from rich.console import Console
from simulated import make_plan
from trial_rows import rows

from ire import open_experiment, resume, sweep
from ire.invalid_input import InvalidInput
from ire.sweeps.findings.contract import clauses
from ire.sweeps.findings.statistics.draws import interval, unpaired_draws
from ire.sweeps.plan import trust
from ire.sweeps.plan.changes import changed_space
from ire.sweeps.plan.plan import read_plan
from ire.sweeps.ray.cluster import connected
from ire.sweeps.ray.remote_probe import probe_on_ray
from ire.sweeps.records.records import FINISHED, PRUNED, read_records
from ire.sweeps.search.ledger import Ledger
from ire.trial.seeds import derive_seed
from search_spaces.space import parse_space
from trainables.functions.in_process import name_of
from trainables.functions.probe import Probed


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Each test imports its own script."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("train", "floor"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A sweep that has run in this process, and its script's folder."""
    folder = tmp_path_factory.mktemp("own")
    task = own_script.write(folder / "code")
    path = list(sys.path)
    home = sweep(task, inline=True, storage=folder, name="whole", console=Console(file=io.StringIO()))
    sys.path[:] = path
    for name in ("train", "floor"):
        sys.modules.pop(name, None)
    return home.folder, folder / "code"


def cut(finished, folder, *, trials, results):
    """A copy of the sweep as a kill after so many lines of its records would have left it."""
    shutil.copytree(finished, folder)
    for name, count in (("trials.jsonl", trials), ("results.jsonl", results)):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:count]))
    return folder


def test_arms_are_searched_with_equal_budgets_and_their_winners_confirmed(finished):
    found = open_experiment(finished[0])
    assert found.is_complete
    comparison = found.comparison
    assert [(row.method, row.is_baseline) for row in comparison.rows] == [("baseline", True), ("mine", False)]
    assert comparison.baseline == "baseline"
    for row in comparison.rows:
        assert len(row.search) == 3
        assert {trial.status for trial in row.search} <= {FINISHED, PRUNED}
        assert [run.number for run in row.runs] == [0, 1]
    settings = comparison.row("mine").winner.spec.settings
    assert settings["twist"] is True
    assert settings["kind"] == "soft"


def test_runs_of_two_arms_are_paired_by_seed(finished):
    comparison = open_experiment(finished[0]).comparison
    one, other = ([run.spec.seed for run in row.runs] for row in comparison.rows)
    assert one == other
    assert len(set(one)) == 2


def test_the_folder_names_the_script_its_place_and_checksums_of_it_and_what_it_imports(finished):
    folder, code = finished
    plan = read_plan(folder)
    assert plan.task == "train.py:train"
    assert plan.import_path == (str(code),)
    versions = read_records(folder).runs[0]["versions"]
    assert set(versions) >= {"train.py", "floor.py"}


def test_a_killed_sweep_is_resumed_bit_for_bit(finished, tmp_path):
    folder = cut(finished[0], tmp_path / "cut", trials=8, results=13)
    resume(folder, inline=True, console=Console(file=io.StringIO()))
    assert rows(folder) == rows(finished[0])


def test_a_changed_neighbour_of_the_script_is_told_on_resume(finished, tmp_path):
    folder = cut(finished[0], tmp_path / "cut", trials=8, results=13)
    code = tmp_path / "code"
    shutil.copytree(finished[1], code)
    (code / "floor.py").write_text("FLOOR = 0.6\n")
    text = (folder / "sweep.toml").read_text()
    (folder / "sweep.toml").write_text(text.replace(str(finished[1]), str(code)))
    screen = io.StringIO()
    resume(folder, inline=True, trust=True, console=Console(file=screen, width=300))
    changed = next(line for line in screen.getvalue().splitlines() if "resumed with other versions" in line)
    assert "floor.py " in changed
    assert "train.py" not in changed


def test_a_space_file_that_was_changed_is_told_on_resume_and_changes_nothing(finished, tmp_path):
    folder, file = finished[0], finished[1] / "train.toml"
    told = []
    for text in (own_script.SPACE, own_script.SPACE.replace("horizon = 8", "horizon = 16")):
        file.write_text(text)
        screen = io.StringIO()
        found = resume(folder, inline=True, console=Console(file=screen, width=300))
        told.append("train.toml changed since the sweep began; it keeps the space in" in screen.getvalue())
    file.write_text(own_script.SPACE)
    assert told == [False, True]
    assert found.plan.space.horizon == 8


@pytest.mark.parametrize(
    ("source", "is_it"), [("train.toml", True), ("../code/train.toml", True), ("spaces/train.toml", False)]
)
def test_a_space_file_of_that_name_from_elsewhere_is_not_the_one_beside_the_script(source, is_it, tmp_path):
    own_script.write(tmp_path / "code")
    plan = make_plan(
        task="train.py:train",
        methods=("baseline", "mine"),
        baselines=("baseline",),
        space=parse_space(own_script.SPACE + "# before", task="train.py:train", source=source),
        import_path=(str(tmp_path / "code"),),
        paired=True,
        seeded=False,
    )
    assert changed_space(plan) == (tmp_path / "code" / "train.toml" if is_it else None)


@pytest.fixture
def edited(finished, tmp_path):
    """Resumes an interrupted copy of the sweep with an edited script; returns what is printed and the plan."""

    def resume_with(old, new):
        folder = cut(finished[0], tmp_path / "cut", trials=8, results=13)
        code = tmp_path / "code"
        shutil.copytree(finished[1], code)
        script = (code / "train.py").read_text()
        assert old in script
        (code / "train.py").write_text(script.replace(old, new))
        text = (folder / "sweep.toml").read_text()
        (folder / "sweep.toml").write_text(text.replace(str(finished[1]), str(code)))
        screen = io.StringIO()
        resume(folder, inline=True, trust=True, console=Console(file=screen, width=300))
        return screen.getvalue(), read_plan(folder)

    return resume_with


def test_a_changed_script_is_probed_again_on_resume(edited):
    told, plan = edited("manual_seed(trial.seed)", "manual_seed(torch.seed() % 99999)")
    assert "train.py changed since the last run; trying train.py:train again" in told
    assert "not paired by seed" in told
    assert "its earlier trials were paired by seed" in told
    assert plan.paired is False


def test_a_changed_script_that_keeps_to_its_trials_stays_paired(edited):
    told, plan = edited("noise = 0.01", "noise = 0.02")
    assert "trying train.py:train again" in told
    assert "not paired" not in told
    assert (plan.paired, plan.seeded) == (True, True)


def test_a_changed_script_that_does_not_keep_to_its_trials_trains_nothing(edited, tmp_path):
    with pytest.raises(InvalidInput, match=r"tried for 4 steps as 'baseline'.*without val_loss"):
        edited("val_loss=", "valid_loss=")
    assert len(read_records(tmp_path / "cut").runs) == 1


def test_a_changed_module_that_is_imported_only_in_a_trial_is_told_too(finished, tmp_path):
    code = tmp_path / "code"
    own_script.write(code)
    (code / "train.py").write_text(
        (code / "train.py")
        .read_text()
        .replace("import floor\n\n", "")
        .replace("def train(trial):", "def train(trial):\n    import floor")
    )
    options = {"inline": True, "curve": False, "confirm_seeds": 0, "storage": tmp_path, "name": "late"}
    first = sweep(f"{code / 'train.py'}:train", **options, console=Console(file=io.StringIO()))
    for name in ("train", "floor"):
        sys.modules.pop(name)
    (code / "floor.py").write_text("FLOOR = 0.6\n")
    screen = io.StringIO()
    resume(first.folder, inline=True, trials=4, console=Console(file=screen, width=300))
    assert "floor.py changed since the last run; trying train.py:train again" in screen.getvalue()


def test_a_script_that_has_not_changed_is_not_probed_again(finished, tmp_path):
    folder = cut(finished[0], tmp_path / "cut", trials=8, results=13)
    screen = io.StringIO()
    resume(folder, inline=True, console=Console(file=screen, width=300))
    assert "again ..." not in screen.getvalue()


def test_a_strangers_script_is_not_run_before_it_is_trusted(finished, tmp_path):
    folder = cut(finished[0], tmp_path / "cut", trials=8, results=13)
    code = tmp_path / "strange"
    shutil.copytree(finished[1], code)
    (code / "train.py").write_text("raise SystemExit('it ran')\n")
    text = (folder / "sweep.toml").read_text()
    (folder / "sweep.toml").write_text(text.replace(str(finished[1]), str(code)))
    with pytest.raises(InvalidInput, match=r"train.py.*has not run it before.*--trust"):
        resume(folder, inline=True)
    assert trust.found_at("train.py", [str(code)]) == code / "train.py"


def test_an_optimizer_of_a_strangers_space_is_not_imported_before_it_is_trusted(finished, tmp_path):
    folder = tmp_path / "strange"
    shutil.copytree(finished[0], folder)
    (tmp_path / "strange_optimizer.py").write_text("raise SystemExit('it ran')\n")
    table = tomllib.loads((folder / "sweep.toml").read_text())
    space = table["space"]["text"].replace('kind = "soft"', 'optimizer = "strange_optimizer:Mine"')
    table |= {"import_path": [str(tmp_path)], "space": table["space"] | {"text": space}}
    (folder / "sweep.toml").write_text(tomli_w.dumps(table))
    with pytest.raises(InvalidInput, match=r"strange_optimizer.*--trust"):
        open_experiment(folder)


def test_an_optimizer_that_the_space_does_not_name_is_no_trial_of_the_sweep(finished, tmp_path):
    folder = tmp_path / "strange"
    shutil.copytree(finished[0], folder)
    for name in ("trials.jsonl", "results.jsonl"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace('"kind": "soft"', '"optimizer": "strange:Mine"'))
    with pytest.raises(InvalidInput, match="the records hold a trial of 'strange:Mine'"):
        open_experiment(folder).comparison  # noqa: B018


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compile": True}, "--compile: a training function has its own loop"),
        ({"precision": "bf16"}, "--precision: a training function has its own loop"),
        ({"micro_batches": 2}, "--micro-batches: a training function has its own loop"),
        ({"methods": ["mien"]}, "unknown arm 'mien'.*did you mean 'mine'"),
        ({"methods": ["sgd"]}, "unknown arm 'sgd'"),
    ],
)
def test_what_a_function_cannot_obey_is_refused_before_anything_is_written(tmp_path, options, message):
    task = own_script.write(tmp_path / "code")
    with pytest.raises(InvalidInput, match=message):
        sweep(task, inline=True, storage=tmp_path, name="none", **options)
    assert not (tmp_path / "none").exists()


def test_a_task_does_not_take_a_space_with_arms(tmp_path):
    own_script.write(tmp_path)
    with pytest.raises(
        InvalidInput, match=r"has \[arms\], which are for training functions, but digits is a"
    ):
        sweep("digits", space=tmp_path / "train.toml", inline=True, storage=tmp_path)


def test_the_report_is_written_for_arms(finished):
    page = json.loads((finished[0] / "report" / "report.json").read_text())
    assert [method["method"] for method in page["methods"]] == ["baseline", "mine"]


@pytest.mark.ray
@pytest.mark.slow
def test_the_probe_runs_where_a_worker_would(finished):
    plan = read_plan(finished[0])
    with connected(None):
        assert probe_on_ray(plan) == Probed(paired=True, seeded=True, tests=False, overruns=False)
        held = replace(plan, task=name_of(lambda trial: trial.report(1, val_loss=1.0)))
        with pytest.raises(
            InvalidInput, match=r"tried for 4 steps as 'baseline'.*report\(1\): no report is due"
        ):
            probe_on_ray(held)


@pytest.mark.ray
@pytest.mark.slow
def test_two_workers_train_a_trial_together_and_a_killed_one_continues(tmp_path):
    task = own_script.write(tmp_path / "code")
    (tmp_path / "code" / "kill").touch()
    screen = io.StringIO()
    found = sweep(
        task,
        workers=2,
        storage=tmp_path,
        name="two",
        trials=2,
        confirm_seeds=1,
        curve=False,
        max_concurrent=1,
        console=Console(file=screen, width=300),
    )
    assert found.is_complete, screen.getvalue()
    trials = found.records.trials.values()
    assert {trial.status for trial in trials} <= {FINISHED, PRUNED}
    assert [fault.kind for trial in trials for fault in trial.faults] == ["workers lost"]
    assert max(trial.val_loss for trial in trials) < 2  # by the script of the start, floor.py says 9 by now
    for trial in trials:
        assert [r["step"] for r in trial.reports] == sorted({r["step"] for r in trial.reports})
        assert all(r["val_shift"] == 0.5 for r in trial.reports)  # the mean of ranks 0 and 1


def swept(folder, script, **options):
    """A sweep of `script`, with the space of the others, and what it printed."""
    own_script.write(folder / "code")
    (folder / "code" / "train.py").write_text(script)
    screen = io.StringIO()
    given = {"trials": 1, "confirm_seeds": 3, "curve": False, "storage": folder, "name": "own"}
    task = f"{folder / 'code' / 'train.py'}:train"
    found = sweep(task, inline=True, console=Console(file=screen, width=300), **given | options)
    return found, screen.getvalue()


UNSEEDED = """
import random
noise = random.SystemRandom()


def train(trial):
    bonus = trial.method == "mine"
    for step in range(1, trial.horizon + 1):
        if trial.due(step):
            trial.report(step, val_loss=10 - bonus + noise.random())
"""


def clauses_of(found):
    return {clause.name: clause for clause in found.comparison.contract}


def test_what_is_not_paired_by_seed_is_told_and_judged_with_unpaired_intervals(tmp_path):
    found, told = swept(tmp_path, UNSEEDED)
    assert "not paired by seed" in told
    assert found.plan.paired is False
    assert "not paired by seed" in clauses_of(found)["pairs"].text
    one, other = ([run.val_loss for run in row.runs] for row in found.comparison.rows)
    values = np.array([other, one]).T
    draws = unpaired_draws(values, np.random.default_rng(derive_seed(0, "bootstrap", "mine", "best")))
    difference = found.comparison.row("mine").against_best
    assert (difference.low, difference.high) == interval(draws[:, 0] - draws[:, 1])
    assert read_plan(found.folder).paired is False


def test_a_function_that_ignores_its_seed_is_not_comparable(tmp_path):
    found, told = swept(tmp_path, UNSEEDED.replace("noise.random()", "1 / step"))
    assert "another seed gives the same losses" in told
    assert not found.comparison.is_comparable
    assert clauses_of(found)["fresh seeds"].kept is False


def test_the_contract_says_which_form_it_was_and_what_cannot_be_checked(finished):
    clauses = clauses_of(open_experiment(finished[0]))
    assert clauses["form"].text.startswith("train.py:train is a training function")
    assert clauses["pairs"].kept is clauses["fresh seeds"].kept is True
    assert [name for name, clause in clauses.items() if clause.word == "cannot be checked"] == [
        "batches",
        "gradients",
    ]
    report = json.loads((finished[0] / "report" / "report.json").read_text())
    assert report["form"] == "training function"


def test_different_ranges_of_one_setting_are_told_and_break_nothing(tmp_path):
    own_script.write(tmp_path)
    text = own_script.SPACE.replace("lr = { log = [1e-2, 1.0]", "lr = { log = [1e-3, 1.0]", 1)
    plan = make_plan(
        task="train.py:train",
        methods=("baseline", "mine"),
        baselines=("baseline",),
        space=parse_space(text, task="train.py:train", source="train.toml"),
    )
    study = {name: Ledger(plan, name) for name in plan.methods}
    ranges = next(clause for clause in clauses(plan, [study]) if clause.name == "ranges")
    assert ranges.kept is None
    assert "lr of mine (log [0.01, 1]) and of baseline (log [0.001, 1])" in ranges.text


def test_a_probe_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(InvalidInput, match=r"tried for 4 steps as 'baseline'.*without val_loss"):
        swept(tmp_path, UNSEEDED.replace("val_loss=", "loss="))
    assert not (tmp_path / "own").exists()


REGISTRY = """
import torch
from ire import sampled_nll


def train(trial):
    torch.manual_seed(trial.seed)
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 4, generator=draw)
    targets = (inputs[:, 0] > 0).long()
    model = torch.nn.Linear(4, 2)
    optimizer = trial.build_optimizer(model)
    for step in range(trial.first_step, trial.horizon):
        if getattr(optimizer, "curvature_due", False):
            sampled_nll(model(inputs)).backward()
            optimizer.update_mask()
        loss = torch.nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if trial.due(step + 1):
            trial.report(step + 1, train_loss=loss, val_loss=loss)
"""

METHODS = """
horizon = 20
eval_interval = 5
default_methods = ["adamw", "adamw-ire"]
[search]
trials = 2
[confirm]
seeds = 1
[adamw]
lr = { log = [1e-3, 1e-1], published = 0.01 }
[ire]
kappa = 2.0
gamma = 0.5
start_fraction = 0.5
interval = 5
"""


def test_methods_of_ours_are_arms_in_a_loop_of_ones_own_with_an_ordinary_space(tmp_path):
    (tmp_path / "methods.toml").write_text(METHODS)
    found, _ = swept(tmp_path, REGISTRY, space=tmp_path / "methods.toml", trials=2, confirm_seeds=1)
    rows = {row.method: row for row in found.comparison.rows}
    assert rows["adamw"].is_baseline
    assert not rows["adamw-ire"].is_baseline
    run = rows["adamw-ire"].runs[0]
    assert run.gradient_evaluations == 22  # masks at steps 10 and 15
    assert run.val_loss < rows["adamw"].search[0].reports[0]["val_loss"]
    assert clauses_of(found)["form"].text.startswith("train.py:train is a training function")
