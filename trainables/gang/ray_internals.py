"""Every use of Ray beyond its public interface, each with the consequence if a release lacks it ("Without: ...").

`lacking` lists the consequences when a sweep starts; a test keeps the list empty for the installed release.

What is private is imported when used, inside the guard for a release that lacks it.
"""

import contextlib
import logging
import os
from collections.abc import Generator
from importlib.util import find_spec
from typing import Any, cast

import ray
from ray import exceptions

from ire.invalid_input import InvalidInput

CALLBACKS, CLEANER = "_create_default_callbacks", "PlacementGroupCleanerCallback"
DATASETS = "DatasetsCallback"
"""Starts a process for Ray's datasets, which are not used here."""
CONNECT = ("_connect_and_get_accessor", "_check_connected")
"""How the connection to the state is made: in newer releases, and in older ones such as 2.51."""
UNAUTHENTICATED = "AuthenticationError"
"""The exception, in `ray.exceptions` of newer releases."""
LOADER, CLIENT = "AuthenticationTokenLoader", "GcsClient"
"""Of Ray's compiled part: what keeps the token of a process, and what shows it to a cluster."""
AUTHENTICATION = "ray._private.authentication.authentication_token_setup"
IDLE, KEEPS, NEEDED = "_actor_cache", "_maybe_cache_trial_actor", "increase_max"
"""Where Tune keeps idle actors, what puts them there, and how Tune learns how many it will need."""
TRAIN = "RAY_TRAIN_V2_ENABLED"
"""Chooses between the two versions of Ray Train; the second is the default from Ray 2.51 on."""


def lacking() -> list[str]:
    """The consequence of each feature that this release of Ray lacks, one line each."""
    from ray.train.torch import TorchTrainer

    found: list[str] = []
    if _constants() is None:
        found.append("a local cluster listens on all interfaces of this machine, not on 127.0.0.1 alone")
    if _driver() is None:
        found.append("the death of a local cluster may go unnoticed")
    if _state() is None:
        found.append("the resources of a gang whose controller has died stay occupied until the sweep ends")
    if not hasattr(TorchTrainer, CALLBACKS) and _has_cleaner():
        found.append("with a second cluster on this machine Ray may end gangs that are alive")
    if _has_tokens() and not hasattr(_raylet(), LOADER):
        found.append("the first token of a process stays in force")
    if _has_tokens() and not (hasattr(_raylet(), CLIENT) and hasattr(exceptions, UNAUTHENTICATED)):
        found.append("a wrong token is refused only after 20 seconds")
    if not _keeps_idle_actors():
        found.append("all gangs but one end whenever no trial waits for them, and start again")
    return [f"Ray {ray.__version__} is not known to this version of ire: {line}" for line in found]


def check_train() -> None:
    """Raise `InvalidInput` unless Ray Train V2 is in force: the first version has a process in every gang that takes a
    CPU of its own, so that a second trial at a time never starts. Without: V2 is assumed to be in force.
    """
    with contextlib.suppress(ImportError):
        from ray.train.v2._internal.constants import is_v2_enabled

        if not is_v2_enabled():
            raise InvalidInput(
                f"{TRAIN}={os.environ[TRAIN]}: sweeps need Ray Train V2; must be 1 or unset"
                if TRAIN in os.environ
                else f"Ray {ray.__version__} is too old: its default is Ray Train V1; must be 2.51 or later: "
                "pip install -U 'ray[default,tune,train]'"
            )


# Starting and joining a cluster


@contextlib.contextmanager
def loopback_only() -> Generator[None, None, None]:
    """Let a cluster that is started inside listen on 127.0.0.1 alone; without: on all interfaces.

    Ray does so on Windows and macOS, where no cluster can grow from it, and has no argument for it elsewhere:
    it turns `_node_ip_address="127.0.0.1"` into the outward address (ray#26293).
    """
    constants = _constants()
    if constants is None:
        yield
        return
    name = constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    before = os.environ.get(name), constants.ENABLE_RAY_CLUSTER
    os.environ[name], constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before[1]
        os.environ.pop(name) if before[0] is None else os.environ.update({name: before[0]})


def forget_token() -> None:
    """Let Ray look for its token again: it keeps the first one that it finds in a process. Without: no tokens, or it
    stays in force.
    """
    with contextlib.suppress(AttributeError):
        getattr(_raylet(), LOADER).instance().reset_cache()


def refuses_the_token(address: str) -> bool:
    """Whether the cluster that listens at `address` refuses this process's token, or that it has none.

    Without: `ray.init` tries 20 times, a second apart, before it reports this.
    """
    try:
        getattr(_raylet(), CLIENT)(address=address)
    except Exception as error:  # `ray.init` reports any other problem
        return type(error).__name__ == UNAUTHENTICATED
    return False


def show_the_token_that_is_there() -> None:
    """Show the user's token to a cluster that is joined, unless RAY_AUTH_MODE says otherwise. Without: no tokens.

    Ray (from 2.59) lets `ray start --head` ask for a token where the user has one, as after a
    sweep on one machine; a driver with an explicit address does not show it by itself.
    """
    log = logging.getLogger(AUTHENTICATION)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        from ray._private.authentication.authentication_token_setup import (
            maybe_enable_token_auth_if_token_available as enable,
        )

        enable(warn_if_disabled=False)
    except ImportError:
        pass
    finally:
        log.setLevel(before)


# A cluster that runs


def dead_processes() -> list[str]:
    """Which kinds of processes of the cluster that was started here have died; without: none are known."""
    node = _local_node()
    return [] if node is None else [kind for kind, *_ in node.dead_processes()]


def kill_processes() -> None:
    """Kill the remaining processes of the cluster that was started here, stopped ones included. Without: nothing."""
    node = _local_node()
    for processes in [] if node is None else list(node.all_processes.values()):
        for info in processes:
            with contextlib.suppress(OSError):
                info.process.kill()


def abandoned_placement_groups() -> list[str]:
    """Placement groups of this job's gangs whose controllers died, as hexadecimal ids. Without: none are known.

    Ray keeps them until the job ends (ray#54305). The State API also knows their creators, but needs a dashboard.
    """
    state = _state()
    if state is None:
        return []
    job, entry = ray.get_runtime_context().get_job_id(), _table_entry()
    found: list[str] = []
    for table in _accessor(state).get_placement_group_table():
        group = entry.FromString(table)
        # The driver's own groups have none.
        has_creator = group.creator_actor_id != ray.ActorID.nil().binary()
        is_abandoned = has_creator and group.creator_actor_dead and not group.is_detached
        is_there = group.state != entry.REMOVED
        if is_abandoned and is_there and group.creator_job_id.hex() == job:
            found.append(group.placement_group_id.hex())
    return found


def keep_idle_actors(controller: Any, resources: Any, more: int) -> None:
    """Let Tune keep `more` (below 0: fewer) idle actors with these `resources`. Without: it keeps one.

    Tune ends all others as soon as no trial waits for them. `controller` is the object that Tune passes to schedulers.
    """
    idle = getattr(getattr(controller, "_tune_controller", controller), IDLE, None)
    if hasattr(idle, NEEDED):
        getattr(idle, NEEDED)(resources, more)


def without_cleaner(trainer: type) -> type:
    """A TorchTrainer that never loses its placement group to Ray's own cleaner, and starts no process for datasets;
    without: as Ray does.

    The cleaner checks that the controller is alive, but it asks the cluster that the environment names, or the last
    one started on the machine: with two clusters it takes live controllers for dead. A gang frees its own group.
    """
    create = getattr(trainer, CALLBACKS, None)
    if create is None:
        return trainer

    def others(self: Any) -> list[Any]:
        return [callback for callback in create(self) if type(callback).__name__ not in (CLEANER, DATASETS)]

    return type(trainer.__name__, (trainer,), {CALLBACKS: others})


def _constants() -> Any:
    """Ray's module of constants, if it has those that `loopback_only` sets."""
    with contextlib.suppress(ImportError):
        from ray._private import ray_constants

        names = ("ENABLE_RAY_CLUSTER", "ENABLE_RAY_CLUSTERS_ENV_VAR")
        return ray_constants if all(hasattr(ray_constants, name) for name in names) else None
    return None


def _raylet() -> Any:
    """Ray's compiled part, which has no types; None without."""
    with contextlib.suppress(ImportError):
        from ray import _raylet

        return _raylet
    return None


def _has_tokens() -> bool:
    try:
        return find_spec(AUTHENTICATION) is not None
    except ImportError:
        return False


def _local_node() -> Any:
    return getattr(_driver(), "_global_node", None)


def _driver() -> Any:
    """Ray's module of the driver, if it knows the node that was started here."""
    with contextlib.suppress(ImportError):
        from ray._private import worker

        return worker if hasattr(worker, "_global_node") else None
    return None


def _state() -> Any:
    """The accessor of the connected cluster's state, if it has the tables of placement groups."""
    with contextlib.suppress(ImportError, AttributeError):
        from ray._private.state import state

        if "creator_actor_dead" in _table_entry().DESCRIPTOR.fields_by_name:
            return state if any(hasattr(state, name) for name in CONNECT) else None
    return None


def _table_entry() -> Any:
    """The class of the entries in the table of placement groups, made at import."""
    from ray.core.generated import gcs_pb2  # pyright: ignore[reportMissingTypeStubs] - it has none

    return cast(Any, gcs_pb2).PlacementGroupTableData


def _accessor(state: Any) -> Any:
    if hasattr(state, CONNECT[0]):
        return getattr(state, CONNECT[0])()
    getattr(state, CONNECT[1])()
    return state.global_state_accessor


def _keeps_idle_actors() -> bool:
    with contextlib.suppress(ImportError):
        from ray.tune.execution.tune_controller import TuneController
        from ray.tune.utils.object_cache import _ObjectCache  # pyright: ignore[reportPrivateUsage]

        return hasattr(TuneController, KEEPS) and hasattr(_ObjectCache, NEEDED)
    return False


def _has_cleaner() -> bool:
    try:
        return find_spec("ray.train.v2._internal.callbacks.placement_group_callback") is not None
    except ImportError:
        return False
