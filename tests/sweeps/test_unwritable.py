"""An experiment that cannot be written to: it can be looked at, and everything else says what to do."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from simulated import make_plan, simulate
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput, writable
from ire.sweeps.command.app import app


@pytest.fixture
def folder(tmp_path):
    """A finished experiment in which nothing can be made: root may write everywhere, so files stand in the way."""
    plan = make_plan(methods=("sgd",), trials=2, confirm_seeds=0, curve=())
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    simulate(plan, tmp_path)
    for name in ("report", "export"):
        (tmp_path / name).write_text("in the way")
    (tmp_path / ".lock").mkdir()
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.mark.parametrize("command", ["report", "export"])
def test_another_folder_is_asked_for_and_taken(command, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("ire.sweeps.report.pictures.pictures_of", lambda _: [])
    result = invoke(command, folder)
    assert isinstance(result.exception, InvalidInput)
    assert str(result.exception).startswith(f"'{folder}/{command}' cannot be written to")
    assert "name another folder with --output" in str(result.exception)
    result = invoke(command, folder, "--output", tmp_path / "deep" / "other")
    assert result.exit_code == 0, result.output
    written = {path.name for path in (tmp_path / "deep" / "other").iterdir()}
    assert written >= ({"report.html", "report.md"} if command == "report" else {"trials.csv"})
    assert f"{tmp_path}/deep/other" in result.output
    assert (folder / command).read_text() == "in the way"


def test_a_resume_says_so_in_one_line(folder):
    result = invoke("resume", folder)
    assert isinstance(result.exception, InvalidInput)
    assert "cannot be written to" in str(result.exception)
    assert "copy it, and resume the copy" in str(result.exception)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT])
def test_what_a_file_system_answers_is_told_with_the_remedy(code):
    with pytest.raises(InvalidInput, match="name another folder with --output"), writable(Path("/x")):
        raise OSError(code, os.strerror(code))
    with pytest.raises(OSError, match="No space left on device: '/x'"), writable(Path("/x")):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_tensorboard_ends_with_the_command_and_takes_its_own_options(folder, tmp_path):
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "__init__.py").write_text("")
    (tmp_path / "tensorboard" / "main.py").write_text(
        "import os, sys, time\nfrom pathlib import Path\n"
        f"path = Path({str(tmp_path / 'told.part')!r})\n"
        "path.write_text(f'{os.getpid()} {sys.argv[1:]}')\npath.rename(path.with_suffix(''))\ntime.sleep(60)\n"
    )
    code = "from ire.sweeps.command import main; main()"
    options = ["--host", "0.0.0.0", "--port", "16199", "--reload_interval", "5"]
    viewer = subprocess.Popen(
        [sys.executable, "-c", code, "tensorboard", str(folder), *options],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "told").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    pid, _, told = (tmp_path / "told").read_text().partition(" ")
    assert int(pid) == viewer.pid
    assert told == str(["--logdir", f"{folder}/runs", *options])
    viewer.terminate()
    assert viewer.wait(10) == -signal.SIGTERM
