"""What tests of every package share, and which of them `pytest` runs on how many cores.

`pytest` leaves out what is marked `slow` or `ray` and uses all cores; `pytest --whole` leaves out nothing. A file or
folder that is named is run whole, in this process (`-n 2` for two).
"""

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from ire.methods.method import parse_method
from ire.trial.spec import TrialSpec

sys.path.append(str(Path(__file__).parents[1]))  # processes that tests spawn import `tests...` by name

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
os.environ |= {name: os.environ.get(name, "1") for name in THREADS}  # before torch and numpy are imported

# Ray's own 15 makes its workers stand still while other tests use all cores.
os.environ.setdefault("RAY_worker_niceness", "0")

GIVE_WAY = 5
"""The niceness of tests beside those that use Ray."""

# Files of tests need not survive a power failure: in memory, nothing waits for a disk. Some tests run what they write.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    runs = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY) if runs else tempfile.gettempdir())

STATE = tempfile.TemporaryDirectory(prefix="ire-tests-")
os.environ["XDG_STATE_HOME"] = (
    STATE.name
)  # whose modules were run before is noted there, and not in one's own home

SETTINGS = {
    "lr": 0.05,
    "weight_decay": 1e-3,
    "warmup_fraction": 0.1,
    "kappa": 3.0,
    "gamma": 0.7,
    "start_fraction": 0.4,
    "interval": 4,
    "micro_batch": 16,
    "lambda": 0.001,
}


def pytest_addoption(parser):
    parser.addoption("--whole", action="store_true", help="also run the tests marked slow or ray")


def names_paths(config) -> bool:
    """Whether the command line names files or folders; a process of pytest-xdist asks the one that started it."""
    if hasattr(config, "workerinput"):
        return config.workerinput["names_paths"]
    return config.args_source is pytest.Config.ArgsSource.ARGS


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["names_paths"] = names_paths(node.config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    if names_paths(config):
        return 0
    # None: as many as there are cores. Tests that use Ray share one process, and mostly wait for others.
    return cores() + 1 if config.getoption("whole") else None


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    if node.config.option.dist == "loadgroup" and not all("@" in name for name in ids):
        pytest.exit("pytest-xdist ignores groups (pytest-xdist#1386): pip install 'pytest<9.2'", returncode=4)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Choose the tests; send a file's to one process, all that use Ray to one, and begin with what takes longest."""

    def is_marked(item, *names):
        return any(item.get_closest_marker(name) for name in names)

    if not (config.getoption("whole") or config.option.markexpr or names_paths(config)):
        config.hook.pytest_deselected(items=[item for item in items if is_marked(item, "slow", "ray")])
        items[:] = [item for item in items if not is_marked(item, "slow", "ray")]
    for item in items:
        group = "ray" if is_marked(item, "ray") else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
    slow_files = {item.path for item in items if is_marked(item, "slow")}
    items.sort(key=lambda item: (not is_marked(item, "ray"), item.path not in slow_files))


def pytest_runtest_setup(item):
    """Let the tests of other processes give way to those that use Ray, which take the longest and share one process."""
    gives_way = hasattr(item.config, "workerinput") and not item.get_closest_marker("ray")
    if gives_way and item.config.getoption("whole") and os.name == "posix":
        os.nice(max(0, GIVE_WAY - os.nice(0)))


def pytest_collection_finish():
    """Let the garbage collections between trials skip the modules of all tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def make_spec():
    """A short digits trial of a method, with any field or setting changed."""

    def make(method: str = "sgd", *, settings: dict | None = None, **fields) -> TrialSpec:
        arm = parse_method(method)
        chosen = {k: v for k, v in (SETTINGS | (settings or {})).items() if k in arm.settings}
        defaults = {"task": "digits", "seed": 5, "horizon": 24, "eval_interval": 4}
        if arm.update == "external":
            defaults["external_norms"] = ((1, 1.0),)
        return TrialSpec(method=method, settings=arm.resolve(chosen), **defaults | fields)

    return make


@pytest.fixture(scope="session")
def prepared_data(tmp_path_factory):
    """The folder of `small_data`, prepared once."""
    from small_data import prepare_all

    folder = tmp_path_factory.mktemp("data")
    prepare_all(folder)
    return folder


@pytest.fixture
def small_data(prepared_data, monkeypatch):
    """A data folder in which every task of the package finds small data of the real format."""
    monkeypatch.setenv("IRE_DATA", str(prepared_data))
    return prepared_data
