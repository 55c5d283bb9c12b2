"""A cluster of this machine: private, tried twice, and missed when it dies. Ray itself is replaced but in one test."""

import os
import stat
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from test_faults import new_run

from ire.invalid_input import InvalidInput
from ire.sweeps.ray import local_cluster as module
from ire.sweeps.ray.local_cluster import ClusterLost, local_cluster, why_lost
from ire.sweeps.ray.tune_run import Interrupted


@pytest.fixture
def starts(monkeypatch, tmp_path):
    """How each start of Ray goes: what stands first in the list is raised, None is a success. Where it was started."""
    monkeypatch.setattr(module, "_parent", lambda: tmp_path)
    plan, seen = [], []

    def init(**options):
        folder = Path(options["_temp_dir"])
        seen.append((folder, os.environ["RAY_AUTH_TOKEN"], stat.S_IMODE(folder.parent.stat().st_mode)))
        folder.mkdir()
        error = plan.pop(0)
        if error:
            raise error

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    return plan, seen


def test_its_folder_and_its_token_are_its_own_and_gone_afterwards(starts, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "the user's")
    plan, seen = starts
    plan += [None, None]
    for _ in range(2):
        with local_cluster(cpus=1, gpus=0):
            assert list(tmp_path.iterdir())
        assert not list(tmp_path.iterdir())
    assert os.environ["RAY_AUTH_TOKEN"] == "the user's"
    (_, first, mode), (_, second, _) = seen
    assert mode == 0o700
    assert len({first, second, "the user's"}) == 3
    assert len(first) == 64


def test_a_start_that_times_out_is_tried_once_more(starts):
    plan, seen = starts
    plan += [Exception("The current node timed out during startup."), None]
    with local_cluster(cpus=1, gpus=0):
        pass
    assert len({folder for folder, *_ in seen}) == 2


def test_ray_that_cannot_start_is_one_line(starts, tmp_path):
    plan, _ = starts
    plan += [RuntimeError("Failed to start GCS.\n\nlast lines\nof it")] * 2
    with (
        pytest.raises(InvalidInput, match=r"\(two attempts\): Failed to start GCS\.; free memory") as raised,
        local_cluster(cpus=1, gpus=0),
    ):
        pass
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_during_the_start_is_not_tried_again(starts):
    plan, seen = starts
    plan += [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt), local_cluster(cpus=1, gpus=0):
        pass
    assert len(seen) == 1


def test_ray_counts_the_gpus_that_torch_sees_and_hides_them_from_who_asks_for_none(starts, monkeypatch):
    monkeypatch.delenv(module.HIDES, raising=False)
    _, seen = starts
    monkeypatch.setattr(ray, "init", lambda **options: seen.append((options, os.environ[module.HIDES])))
    with local_cluster(cpus=3, gpus=2):
        pass
    ((options, hides),) = seen
    assert (options["num_cpus"], options["num_gpus"], hides) == (3, 2, "1")
    assert module.HIDES not in os.environ


def test_a_long_temporary_folder_is_not_taken_and_a_machine_without_a_short_one_is_refused(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("r" * 60)))
    assert len(str(module._parent())) <= module.LONGEST
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InvalidInput, match=r"at most 20 characters, but .* set RAY_TMPDIR"):
        module._parent()


def test_a_socket_below_the_longest_folder_can_be_made():
    folder = "x" * module.LONGEST + f"/{module.PREFIX}12345678/r"
    session = "session_2026-11-28_11-58-09_236197_4194304/sockets/plasma_store"
    assert len(f"{folder}/{session}") <= 103


def test_what_a_killed_driver_left_is_removed_and_what_lives_stays(tmp_path):
    old, young, living, foreign = (tmp_path / f"{module.PREFIX}{name * 8}" for name in "oylf")
    for folder in (old, young, living):
        folder.mkdir()
        (folder / "lock").touch()
    foreign.symlink_to(tmp_path)
    for folder in (old, living):
        os.utime(folder, times=(time.time() - 2 * module.ABANDONED_SECONDS,) * 2)
    with module.try_lock(living / "lock"):
        module._remove_abandoned(tmp_path)
    assert {path for path in (old, young, living, foreign) if os.path.lexists(path)} == {
        young,
        living,
        foreign,
    }


@pytest.mark.parametrize(
    ("dead", "alive", "told"),
    [
        ([("raylet", 1)], True, "its raylet died, for example"),
        ([("gcs_server", 1), ("raylet", 2)], False, "its gcs_server and raylet died, for example"),
        ([("log_monitor", 1)], True, None),
        ([], False, "its only node no longer answers"),
        ([], True, None),
    ],
)
def test_the_death_of_what_it_needs_is_noticed(dead, alive, told, monkeypatch):
    node = SimpleNamespace(dead_processes=lambda: dead)
    monkeypatch.setattr(ray._private.worker, "_global_node", node)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": alive}])
    assert (why_lost() or "").startswith(told or "")
    assert (why_lost() is None) == (told is None)


def test_a_sweep_whose_cluster_is_lost_is_broken_off_in_order(tmp_path):
    tune, _, _ = new_run(tmp_path / "sweep")

    def lost():
        raise ClusterLost("its raylet has died")

    tune._count_slots, tune._counted = lost, -1e9
    tune.tick()
    assert tune.cannot_go_on == "the Ray cluster of this machine is lost: its raylet has died"
    assert Interrupted(tune).stop_all()
    assert tune.next_job() is None


@pytest.mark.parametrize("in_time", [True, False])
def test_a_driver_that_waits_for_a_dead_cluster_says_how_to_go_on_and_ends(in_time, monkeypatch):
    killed = []
    stopped = SimpleNamespace(process=SimpleNamespace(kill=lambda: killed.append("raylet")))
    node = SimpleNamespace(dead_processes=lambda: [("gcs_server", 1)], all_processes={"raylet": [stopped]})
    monkeypatch.setattr(ray._private.worker, "_global_node", node)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "STUCK_SECONDS", 60 if in_time else 0.01)
    told, ended = [], threading.Event()
    monkeypatch.setattr(os, "_exit", lambda code: told.append(code) or ended.set())
    with module.leave_if_stuck(told.append) as check:
        with pytest.raises(ClusterLost, match="its gcs_server died"):
            check()
        assert ended.wait(0.2 if in_time else 30) is not in_time
    assert told[1:] == ([] if in_time else [1])
    assert killed == ([] if in_time else ["raylet"])


def test_the_private_names_of_ray_that_are_used_are_there():
    assert hasattr(ray._private.node.Node, "dead_processes")
    assert "_global_node" in vars(ray._private.worker)
