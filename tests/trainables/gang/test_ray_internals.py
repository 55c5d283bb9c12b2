"""The installed Ray has all that is used beyond its public interface; a release that lacks it still works."""

import ast
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray._private.ray_constants as constants
import ray._private.state
import ray._private.worker
import ray._raylet
import ray.exceptions
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


def with_tokens(owner, name, line):
    """A row for a release whose clusters can ask for a token; an older one has nothing to lack there."""
    no_tokens = pytest.mark.skipif(
        not ray_internals._has_tokens(), reason="this release of Ray has no tokens"
    )
    return pytest.param(owner, (name,), line, marks=no_tokens)


@pytest.mark.parametrize(
    ("owner", "names", "line"),
    [
        (constants, ("ENABLE_RAY_CLUSTER",), "listens on all interfaces"),
        (ray._private.worker, ("_global_node",), "may go unnoticed"),
        (type(ray._private.state.state), CONNECT, "stay occupied until the sweep ends"),
        with_tokens(ray._raylet, "AuthenticationTokenLoader", "the first token of a process stays in force"),
        with_tokens(ray._raylet, "GcsClient", "a wrong token is refused only after 20 seconds"),
        with_tokens(ray.exceptions, "AuthenticationError", "a wrong token is refused only after 20 seconds"),
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
    root = Path(ray_internals.__file__).parents[2]
    files = [
        file for folder in ("ire", "trainables", "search_spaces") for file in (root / folder).rglob("*.py")
    ]
    strange = [
        f"{file.relative_to(root)}:{line} {name}"
        for file in files
        if file != Path(ray_internals.__file__)
        for line, name in private_names_of_ray(file.read_text(encoding="utf-8"))
    ]
    assert not strange


@pytest.mark.parametrize(
    "line",
    [
        "from ray import _raylet",
        "import ray._private.worker as w",
        "from ray.tune.utils.object_cache import _ObjectCache",
        "from ray.core.generated import gcs_pb2",
        "ray._private.worker",
    ],
)
def test_every_way_into_ray_is_seen(line):
    assert len(private_names_of_ray(line)) == 1
    assert not private_names_of_ray(
        "import ray, rays._own\nfrom ray import tune\nray.init(_node_ip_address='')"
    )


def private_names_of_ray(code: str) -> list[tuple[int, str]]:
    """What a module imports or reads of Ray that is private, or generated: line and name."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.append((node.lineno, f"{node.value.id}.{node.attr}"))
    return [(line, name) for line, name in found if re.match(r"ray\.(core\b|(\w+\.)*_)", name)]
