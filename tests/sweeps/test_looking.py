"""`ire status` and `ire list`: how far a sweep is, said at once and without torch."""

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from simulated import Killed, make_plan, simulate
from typer.testing import CliRunner

from ire import __version__, open_experiment
from ire.sweeps.command.app import app
from ire.sweeps.records.experiment_lock import OWNER
from ire.sweeps.report.status.experiment_list import list_experiments
from ire.sweeps.report.status.state import state_of
from ire.sweeps.report.status.summary import store_summary, stored_summary, summary_of
from ire.sweeps.watch.console import plain_console

PLAN = {"methods": ("sgd", "sgd-ire"), "trials": 3, "confirm_seeds": 1, "curve": (2.0,), "controls": True}


def make(folder, *, plan=PLAN, **options):
    folder.mkdir()
    plan = make_plan(name=folder.name, **plan)
    (folder / "sweep.toml").write_text(plan.to_toml())
    with contextlib.suppress(Killed):
        simulate(plan, folder, **options)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished sweep whose results were kept, as a report does."""
    folder = make(tmp_path_factory.mktemp("experiments") / "finished")
    (folder / "report").mkdir()
    store_summary(open_experiment(folder), folder / "report")
    return folder


def owned_by(folder, pid: int):
    (folder / OWNER).write_text(json.dumps({"host": socket.gethostname(), "pid": pid}))


def invoke(*arguments) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def cells(output: str, method: str) -> list[str]:
    return next(line.split() for line in output.splitlines() if line.split()[:1] == [method])


def test_a_broken_off_sweep_shows_its_stage_and_the_command_that_continues_it(tmp_path):
    folder = make(tmp_path / "broken", kill_after=30)
    output = invoke("status", folder)
    assert f"interrupted: search, 0 trials done; continue with: ire resume {folder}" in output
    assert "unfinished   sgd-0000 (" in output
    assert cells(output, "sgd")[1] == "1/3"


def test_runs_of_curve_and_controls_are_counted(tmp_path):
    folder = make(tmp_path / "late", kill_after=330)
    state = state_of(open_experiment(folder))
    assert state.word == "interrupted" and "controls" in state.sentence
    lines = {line[0]: dict(zip(state.stages.heads, line, strict=True)) for line in state.stages.lines}
    assert lines["sgd"]["curve"] == "1/1" and lines["sgd-ire"]["curve"] == "-"
    assert lines["sgd-ire"]["confirm"] == "1/1" and lines["sgd-ire"]["controls"].endswith("/6")


def test_on_80_columns_the_runs_fit_and_commands_can_be_copied(tmp_path, monkeypatch):
    folder = make(tmp_path / ("broken-" + "x" * 50), kill_after=330)
    narrow = plain_console(width=80)
    monkeypatch.setattr("ire.sweeps.command.status.console", lambda: narrow)
    lines = invoke("status", folder).splitlines()
    assert any(line.endswith(f"; continue with: ire resume {folder}") for line in lines)
    (heads,) = (line for line in lines if "best val_loss" in line)
    assert " ".join(heads.split()) == "method search pruned lost best val_loss select confirm curve controls"
    assert len(heads.rstrip()) <= 80


def test_printed_commands_are_as_short_as_the_folder_is_named_here(tmp_path, monkeypatch):
    make(tmp_path / "broken", kill_after=30)
    monkeypatch.chdir(tmp_path)
    assert "continue with: ire resume broken\n" in invoke("status", "broken")


def test_a_sweep_whose_process_lives_is_running(tmp_path):
    folder = make(tmp_path / "running", kill_after=30)
    parent = os.getppid()
    owned_by(folder, parent)
    assert f"running: search, 0 trials done by process {parent}" in invoke("status", folder)


def test_a_finished_sweep_is_shown_from_what_was_kept(finished, monkeypatch):
    before = invoke("status", finished)
    assert "running" not in before and "wall-clock " in before
    monkeypatch.setattr("ire.sweeps.findings.results.compare", None)
    assert invoke("status", finished) == before


def test_what_was_kept_does_not_count_once_the_records_have_grown(finished):
    assert stored_summary(finished) == summary_of(open_experiment(finished))
    with (finished / "results.jsonl").open("a") as file:
        file.write("\n")
    assert stored_summary(finished) is None
    os.truncate(finished / "results.jsonl", (finished / "results.jsonl").stat().st_size - 1)
    assert stored_summary(finished) is not None


def test_status_and_list_do_not_wait_for_torch_nor_for_most_of_scipy(finished):
    slow = ("torch", "ray", "pandas", "matplotlib", "optuna", "scipy.stats", "scipy.interpolate", "jinja2")
    code = f"import sys; sys.modules |= dict.fromkeys({slow})\n"
    code += "from ire.sweeps.experiments.experiment import open_experiment\n"
    code += f"open_experiment({str(finished)!r}).comparison\n"
    code += f"sys.argv[1:] = ['list', {str(finished.parent)!r}]\n"
    code += "from ire.sweeps.command import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stdout


def test_watching_ends_with_the_sweep(finished):
    assert invoke("status", "--watch", finished) == invoke("status", finished)


def test_a_list_names_state_and_verdict_and_a_page_links_the_reports(finished):
    folder = finished.parent
    if not (folder / "half").exists():
        make(folder / "half", kill_after=30)
    (folder / "no-experiment").mkdir(exist_ok=True)
    (finished / "report" / "report.html").touch()
    output = invoke("list", folder, "--page")
    states = {
        line.split()[0]: line.split()[4:] for line in output.splitlines() if "digits" in line.split()[3:4]
    }
    assert states == {"finished": ["finished"], "half": ["interrupted"]}
    assert f"finished: {summary_of(open_experiment(finished)).headline}" in output
    page = (folder / "index.html").read_text()
    assert '<a href="finished/report/report.html">finished</a>' in page and ">half</td>" in page


def test_an_experiment_that_cannot_be_read_is_listed_as_that_beside_the_others(
    finished, tmp_path, monkeypatch
):
    for name in ("good", "locked"):
        make(tmp_path / name, kill_after=30)
    (tmp_path / "private").mkdir()
    may, read = os.access, Path.open
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "private" and may(path, mode))

    def opened(path, *arguments, **options):  # root may read everything
        if path.parent.name == "locked" and path.name == "trials.jsonl":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    found = list_experiments(tmp_path)
    assert dict(zip(found.names, found.states, strict=True)) == {
        "good": "interrupted",
        "locked": "cannot be read",
        "private": "cannot be read",
    }


def test_a_folder_without_experiments_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["list", str(tmp_path)])
    assert "holds no experiments" in str(result.exception)


def test_the_version_is_printed():
    assert invoke("--version") == f"ire {__version__}\n"
