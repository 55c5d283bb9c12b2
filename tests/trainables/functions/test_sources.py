"""A script and what lies beside it: found by its path, recorded as text, and imported from that text by workers."""

import shutil
import sys
import traceback
from types import ModuleType

import pytest

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.trial.script import located
from trainables.functions.function import load_workload, source_versions
from trainables.functions.sources import Finder, Sources, install, loaded_from


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def script(tmp_path):
    """A script with a neighbour and a package beside it."""
    folder = tmp_path / "code"
    (folder / "own_parts").mkdir(parents=True)
    (folder / "own_script.py").write_text(
        "from pathlib import Path\nimport own_neighbour, own_parts.model\n"
        "def train(trial):\n    return own_neighbour.VALUE, own_parts.model.WIDTH, Path(__file__).name\n"
        "def fails(trial):\n    raise KeyError('lr')\n"
    )
    (folder / "own_neighbour.py").write_text("VALUE = 1\n")
    (folder / "own_parts" / "__init__.py").write_text("")
    (folder / "own_parts" / "model.py").write_text("WIDTH = 64\n")
    (folder / "own_unused.py").write_text("raise AssertionError\n")
    return folder


FILES = {"own_script.py", "own_neighbour.py", "own_parts/__init__.py", "own_parts/model.py"}


def test_a_script_is_found_by_its_path_and_imports_what_lies_beside_it(script):
    name, folder = located(f"{script}/own_script.py:train")
    assert (name, folder) == ("own_script.py:train", str(script))
    function = load_workload(name, [folder])
    assert function.call(None) == (1, 64, "own_script.py")


def test_another_script_imports_what_lies_beside_itself(script, tmp_path):
    other = shutil.copytree(script, tmp_path / "other")
    (other / "own_neighbour.py").write_text("VALUE = 2\n")
    (other / "own_parts" / "model.py").write_text("WIDTH = 128\n")
    (other / "pytest.py").touch()  # what is installed stays
    for folder, expected in ((script, (1, 64)), (other, (2, 128)), (script, (1, 64))):
        found = load_workload("own_script.py:train", [str(folder)])
        assert found.call(None)[:2] == expected
        assert set(found.sources.texts) == FILES
    assert sys.modules["pytest"] is pytest


def test_a_worker_that_does_not_see_the_folder_forgets_another_script_too(script, tmp_path):
    other = shutil.copytree(script, tmp_path / "other")
    (other / "own_neighbour.py").write_text("VALUE = 2\n")
    sources = load_workload("own_script.py:train", [str(other)]).sources
    load_workload("own_script.py:train", [str(script)])
    other.rename(tmp_path / "elsewhere")
    install(sources)
    assert load_workload("own_script.py:train", [str(other)]).call(None)[0] == 2


def test_the_script_that_runs_is_not_forgotten_for_a_main_beside_another(script, tmp_path, monkeypatch):
    running = ModuleType("__main__")
    running.__file__ = str(tmp_path / "run.py")
    monkeypatch.setitem(sys.modules, "__main__", running)
    (script / "__main__.py").touch()
    load_workload("own_script.py:train", [str(script)])
    assert sys.modules.get("__main__") is running


def test_what_it_has_imported_from_its_folder_is_its_source(script):
    assert set(load_workload("own_script.py:train", [str(script)]).sources.texts) == FILES


def test_an_environment_inside_its_folder_is_not_its_source(script, monkeypatch):
    inside = script / "venv" / "lib"
    inside.mkdir(parents=True)
    (inside / "own_library.py").write_text("")
    monkeypatch.syspath_prepend(str(inside))
    __import__("own_library")
    load_workload("own_script.py:train", [str(script)])
    assert set(loaded_from(script).texts) == FILES


def test_a_change_of_a_neighbour_changes_its_checksum_alone(script):
    load_workload("own_script.py:train", [str(script)])
    before = source_versions("own_script.py:train", [str(script)])
    assert set(before) == FILES
    (script / "own_neighbour.py").write_text("VALUE = 2\n")
    after = source_versions("own_script.py:train", [str(script)])
    assert {name for name in FILES if before[name] != after[name]} == {"own_neighbour.py"}


def forget():
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def test_a_worker_imports_the_texts_and_not_what_lies_there_by_then(script):
    sources = load_workload("own_script.py:train", [str(script)]).sources
    forget()
    (script / "own_neighbour.py").write_text("VALUE = 2\n")
    install(sources)
    function = load_workload("own_script.py:train", [str(script)])
    assert function.call(None) == (1, 64, "own_script.py")
    assert function.sources == sources


def test_a_worker_that_does_not_see_the_folder_trains_as_well(script, tmp_path):
    sources = load_workload("own_script.py:train", [str(script)]).sources
    forget()
    script.rename(tmp_path / "elsewhere")
    install(sources)
    assert load_workload("own_script.py:train", [str(script)]).call(None) == (1, 64, "own_script.py")


def test_a_traceback_shows_the_lines_that_ran(script):
    sources = load_workload("own_script.py:fails", [str(script)]).sources
    forget()
    (script / "own_script.py").write_text("\n\n\n\n\nanother line\n")
    install(sources)
    with pytest.raises(KeyError) as error:
        load_workload("own_script.py:fails", [str(script)]).call(None)
    assert "raise KeyError('lr')" in "".join(traceback.format_exception(error.value))


def test_a_module_that_is_none_of_the_texts_is_looked_for_elsewhere():
    finder = Finder(Sources(folder="/nowhere", texts={"own_script.py": ""}))
    assert finder.find_spec("own_script") is not None
    assert finder.find_spec("json") is None


def test_a_function_of_a_module_has_its_package_as_source(script, monkeypatch):
    (script / "own_parts" / "train.py").write_text(
        "from own_parts import model\nimport own_neighbour\ndef train(trial):\n    return model.WIDTH\n"
    )
    monkeypatch.syspath_prepend(str(script))
    function = load_workload("own_parts.train:train")
    assert function.call(None) == 64
    files = {"own_parts/__init__.py", "own_parts/model.py", "own_parts/train.py"}
    assert set(function.sources.texts) == files
    assert set(source_versions("own_parts.train:train", [])) == files


def test_a_task_has_no_sources_of_a_function():
    assert source_versions("digits", []) == {}
    assert source_versions("trainables.tasks.digits:Digits", []) == {}


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("missing.py:train", "there is no file '.*missing.py'"),
        ("{code}/own_script.py", "name its function, too, as in .*own_script.py:train"),
        ("{code}/own-script.py:train", "'own-script.py' cannot be imported; rename it"),
        ("{code}/random.py:train", "in place of the module 'random', which others need; rename it"),
        ("{code}/numpy.py:train", "in place of the module 'numpy', which others need; rename it"),
    ],
)
def test_a_path_that_names_no_function_is_refused(script, task, message):
    for name in ("own-script.py", "random.py", "numpy.py"):
        (script / name).touch()
    with pytest.raises(InvalidInput, match=message):
        located(task.format(code=script))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def train(trial): ...", "unknown training function or task class 'trian'.*did you mean 'train'"),
        ("def trian(): ...", r"trian\(\): a training function is called with one argument, the trial"),
        ("def trian(trial):\n    yield", "a training function is an ordinary one"),
        ("class trian: ...", "trian is a class; .* name it by its module: own_script:trian"),
        (
            "import not_installed_anywhere",
            "cannot import 'own_script' .No module named 'not_installed_anywhere'",
        ),
        ("from os import nothing_at_all", "cannot import 'own_script' .cannot import name 'nothing_at_all'"),
        ("from . import own_neighbour", "name it by its module: code.own_script:trian"),
        ("import peft", r"cannot import 'own_script'.*pip install 'ire\[lora\]'"),
    ],
)
def test_a_script_without_such_a_function_is_refused(script, monkeypatch, text, message):
    monkeypatch.setitem(sys.modules, "peft", None)
    (script / "own_script.py").write_text(f"{text}\n")
    with pytest.raises(InvalidInput, match=message):
        load_workload("own_script.py:trian", [str(script)])


@pytest.mark.parametrize("task", [":train", ".own_script:train", "own_parts..model:train"])
def test_a_function_without_the_name_of_a_module_is_refused(task):
    with pytest.raises(InvalidInput, match=r"name a script or a module, as in train\.py:train"):
        load_workload(task)


def test_a_name_of_main_which_is_another_one_in_each_process_is_refused():
    for found in (load_workload, parse_method):
        with pytest.raises(InvalidInput, match=r"'__main__:Own': no other process .* name it my:Own"):
            found("__main__:Own")


def test_files_known_from_an_earlier_run_are_read_where_they_lie_and_nowhere_else(tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    for path in (folder / "known_script.py", folder / "later.py", tmp_path / "outside.py"):
        path.write_text("")
    known = ["later.py", "gone.py", "../outside.py", str(tmp_path / "outside.py"), "torch"]
    found = source_versions("known_script.py:train", [str(folder)], known)
    assert set(found) == {"known_script.py", "later.py"}
