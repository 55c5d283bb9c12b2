"""The installed Ray has all that is used beyond its public interface; a release that lacks it still works."""

import os
from types import SimpleNamespace

import pytest
import ray._private.ray_constants as constants
import ray._private.state
import ray._private.worker
from ray.tune.utils.object_cache import _ObjectCache

from ire.invalid_input import InvalidInput
from trainables.gang import ray_internals
from trainables.gang.ray_internals import (
    CALLBACKS,
    CLEANER,
    CONNECT,
    abandoned_placement_groups,
    check_train,
    dead_processes,
    keep_idle_actors,
    lacking,
    loopback_only,
    without_cleaner,
)


def test_the_installed_release_lacks_nothing():
    assert lacking() == []


def test_the_first_version_of_ray_train_is_refused_with_its_remedy(monkeypatch):
    check_train()
    monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "0")
    with pytest.raises(InvalidInput, match=r"RAY_TRAIN_V2_ENABLED=0: .* must be 1 or unset"):
        check_train()


def test_a_release_whose_default_is_the_first_version_of_ray_train_is_refused(monkeypatch):
    monkeypatch.delenv("RAY_TRAIN_V2_ENABLED", raising=False)
    monkeypatch.setattr("ray.train.v2._internal.constants.is_v2_enabled", lambda: False)
    with pytest.raises(InvalidInput, match=r"must be 2\.51 or later"):
        check_train()


def test_a_local_cluster_is_kept_to_loopback_while_it_starts_and_no_longer(monkeypatch):
    name = constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    monkeypatch.setenv(name, "before")
    monkeypatch.setattr(constants, "ENABLE_RAY_CLUSTER", True)
    with loopback_only():
        assert (os.environ[name], constants.ENABLE_RAY_CLUSTER) == ("0", False)
    assert (os.environ[name], constants.ENABLE_RAY_CLUSTER) == ("before", True)


@pytest.mark.parametrize(
    ("owner", "names", "line"),
    [
        (constants, ("ENABLE_RAY_CLUSTER",), "listens on all interfaces"),
        (ray._private.worker, ("_global_node",), "may go unnoticed"),
        (type(ray._private.state.state), CONNECT, "stay occupied until the sweep ends"),
    ],
)
def test_what_a_release_lacks_is_named_and_changes_nothing_else(owner, names, line, monkeypatch):
    for name in names:
        monkeypatch.delattr(owner, name, raising=False)
    (told,) = lacking()
    assert told.startswith(f"Ray {ray.__version__} is not known to this version of ire: ")
    assert line in told
    before = dict(os.environ)
    with loopback_only():
        assert (dict(os.environ) == before) == (owner is constants)
    if owner is ray._private.worker:
        assert dead_processes() == []
    if names is CONNECT:
        assert abandoned_placement_groups() == []


def test_a_trainer_without_the_hook_for_callbacks_stays_as_it_is(monkeypatch):
    trainer = type("Trainer", (), {})
    assert without_cleaner(trainer) is trainer
    monkeypatch.setattr("ray.train.torch.TorchTrainer", trainer)
    monkeypatch.setattr(ray_internals, "_has_cleaner", lambda: True)
    (told,) = lacking()
    assert "Ray may end gangs that are alive" in told


def test_rays_own_cleaner_is_left_out_of_a_gangs_callbacks():
    cleaner, other = type(CLEANER, (), {})(), object()
    trainer = type("Trainer", (), {CALLBACKS: lambda self: [cleaner, other]})
    assert getattr(without_cleaner(trainer)(), CALLBACKS)() == [other]


def test_tune_keeps_as_many_idle_actors_as_it_is_told(monkeypatch):
    """Two of two trials end at the same time, and none waits: Tune alone keeps one of their actors."""
    cache = _ObjectCache(may_keep_one=True)
    wrapped = SimpleNamespace(_tune_controller=SimpleNamespace(_actor_cache=cache))

    def kept():
        cached = [actor for actor in ("one", "other") if cache.cache_object("1 CPU", actor)]
        ended = list(cache.flush_cached_objects())
        for _ in range(cache.num_cached_objects):
            cache.pop_cached_object("1 CPU")
        return [actor for actor in cached if actor not in ended]

    assert kept() == ["one"]
    keep_idle_actors(wrapped, "1 CPU", 2)
    assert kept() == ["one", "other"]
    keep_idle_actors(wrapped, "1 CPU", -2)
    assert kept() == ["one"]
    monkeypatch.delattr(_ObjectCache, ray_internals.NEEDED)
    keep_idle_actors(wrapped, "1 CPU", 2)
    assert kept() == ["one"]
    (told,) = lacking()
    assert "all gangs but one end" in told


def test_nothing_else_reaches_into_ray():
    import ast
    from pathlib import Path

    root = Path(ray_internals.__file__).parents[2]
    inside = ("ray._private", "ray._raylet", "ray.core")
    for folder in ("ire", "trainables", "search_spaces"):
        for file in (root / folder).rglob("*.py"):
            if file.name == "ray_internals.py":
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                module = getattr(node, "module", None) if isinstance(node, ast.ImportFrom) else None
                assert not (module or "").startswith(inside), f"{file}:{node.lineno}"
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "ray"
                ):
                    assert not node.attr.startswith("_"), f"{file}:{node.lineno}: ray.{node.attr}"
