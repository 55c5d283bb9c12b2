"""Whatever goes wrong in a command: one line that helps, and never a traceback on the screen."""

import bdb
import errno
import importlib
import os
import site
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.core import TyperGroup

from ire.entry_points import is_installed
from ire.invalid_input import InvalidInput, expanded
from ire.methods.method import parse_method
from ire.sweeps.command.commands import Commands
from ire.sweeps.command.failures import EndOfInput, explained, run
from ire.sweeps.experiments.train_one import train_one
from trainables.task import load_task


def raising(error):
    def command():
        raise error

    return command


def test_a_mistake_of_the_user_is_one_harmless_line_and_code_2(capsys):
    assert run(raising(InvalidInput("task '\x1b[31m' of s3://KEY:SECRET@b: no"))) == 2
    assert capsys.readouterr().err == "ire: task '\\x1b[31m' of s3://***@b: no\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), bdb.BdbQuit()])
def test_an_interrupt_and_a_debugger_that_is_left_end_without_a_word(error, capsys):
    assert run(raising(error)) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EIO, errno.EMFILE])
def test_an_answer_of_the_system_is_one_line_with_the_place(code, capsys):
    assert run(raising(OSError(code, "No", "/some/where"))) == 1
    assert capsys.readouterr().err == "ire: '/some/where': No\n"


def test_a_current_folder_that_was_deleted_is_called_that(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run(os.getcwd) == 2
    assert capsys.readouterr().err == "ire: the current folder was deleted: change to another one\n"


def test_a_home_folder_that_nobody_knows_is_a_mistake():
    with pytest.raises(InvalidInput, match=r"'~nobody-here/x': this machine knows no home folder for it"):
        expanded("~nobody-here/x")


def test_a_defect_is_called_one_and_its_traceback_is_in_a_private_file(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("ire.sweeps.command.failures._is_the_users", lambda file: False)  # not even a test's
    assert run(raising(KeyError("s3://KEY:SECRET@b\x1b"))) == 1
    told = capsys.readouterr().err
    (file,) = tmp_path.iterdir()
    assert told.splitlines() == [
        "ire: KeyError: 's3://***@b\\x1b'",
        f"this is a bug in ire: please report it with this file: {file}",
    ]
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert "Traceback (most recent call last)" in text
    assert "SECRET" not in text
    assert "\x1b" not in text


def test_what_another_package_raises_is_not_called_a_defect_of_ours_alone(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("ire.sweeps.command.failures._is_the_users", lambda file: False)  # not even a test's
    assert run(lambda: torch.optim.SGD([])) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "ire: ValueError: optimizer got an empty parameter list"
    assert told[1].startswith(
        "torch raised this; where it is not right, it is a bug in ire: please report it"
    )


def test_an_exit_in_a_users_module_fails_the_command_and_names_the_line(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "their_exit.py").write_text("import sys\n\nsys.exit(0)\n")
    assert run(lambda: importlib.import_module("their_exit")) == 1
    assert capsys.readouterr().err == f"ire: {tmp_path}/their_exit.py, line 3, in <module>: sys.exit(0)\n"


def test_an_exception_in_a_users_module_is_shown_as_theirs_with_its_line(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name, text, told in (
        (
            "their_own",
            "def model():\n    return 1 / 0\n\nmodel()\n",
            "2, in model: ZeroDivisionError: division by",
        ),
        ("their_broken", "x = 1\nif x\n", "2: SyntaxError: expected ':'"),
    ):
        (tmp_path / f"{name}.py").write_text(text)
        assert run(lambda name=name: importlib.import_module(name)) == 1
        first, second = capsys.readouterr().err.splitlines()
        assert first.startswith(f"ire: {tmp_path}/{name}.py, line {told}")
        assert second.startswith(f"the full traceback is in {tmp_path}/ire-bug-")


@pytest.mark.parametrize(
    ("text", "line"), [("import not_there_at_all\n", 1), ("x = 1\nfrom json import not_there\n", 2)]
)
def test_what_a_users_module_cannot_import_is_shown_with_its_line(text, line, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"imports{line}.py").write_text(text)
    assert run(lambda: load_task(f"imports{line}:Mine")) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"ire: task 'imports{line}:Mine': cannot import")
    assert told.endswith(f"in {tmp_path}/imports{line}.py, line {line}, in <module>\n")


@pytest.mark.parametrize("name", ["not_there_at_all:Mine", "torch.optim:NAdamm", "torch.nn:Linear"])
def test_an_optimizer_class_that_does_not_exist_ends_the_command_with_one_line(name, capsys):
    assert run(lambda: parse_method(name)) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_mistake_whose_causes_form_a_circle_is_shown():
    first, second = InvalidInput("no"), ValueError("why")
    first.__cause__, second.__cause__ = second, first
    assert explained(first) == ("no", 2)


def test_an_optimizer_of_ones_own_that_cannot_be_built_is_shown_with_its_line(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_optimizer.py").write_text(
        "import torch\n\nclass Bad(torch.optim.SGD):\n    def __init__(self, params, lr=0.1):\n        1 / 0\n"
    )
    assert run(lambda: train_one("digits", "broken_optimizer:Bad", {}, print)) == 2
    told = capsys.readouterr().err
    assert "cannot be built for this model: ZeroDivisionError" in told
    assert f"in {tmp_path}/broken_optimizer.py, line 5, in __init__" in told


def test_a_file_that_was_cut_off_is_not_taken_for_the_end_of_the_input(monkeypatch):
    def cut_off(self, context):
        raise EOFError("cut off")

    monkeypatch.setattr(TyperGroup, "invoke", cut_off)
    with pytest.raises(EndOfInput) as raised:
        Commands().invoke(None)
    told, code = explained(raised.value)
    assert "EOFError: cut off\n" in told
    assert code == 1
    Path(told.split()[-1]).unlink()


def test_a_reader_that_goes_away_is_no_failure_and_python_says_nothing_of_it():
    code = "from ire.sweeps.command import main; main()"
    listing = subprocess.Popen(
        [sys.executable, "-c", code, "methods"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    listing.stdout.close()
    assert listing.wait(60) == 0
    assert listing.stderr.read() == ""
    listing.stderr.close()


@pytest.mark.parametrize("file", ["library/error.pxi", "<string>"])
def test_a_compiled_module_of_a_library_is_not_the_users(file):
    mistake = InvalidInput("texts.gz: truncated or damaged; fetch it again")
    try:
        exec(compile("raise KeyError('deep')", file, "exec"))
    except KeyError as deep:
        # without the frame of this file, which is the user's
        mistake.__cause__ = deep.with_traceback(deep.__traceback__.tb_next)
    assert explained(mistake) == (str(mistake), 2)


@pytest.mark.parametrize("folder", [site.getusersitepackages(), *site.getsitepackages()])
def test_a_package_that_is_installed_for_this_user_alone_is_not_the_users_code(folder):
    assert is_installed(Path(folder) / "typer" / "core.py")  # which ends every command by sys.exit
