"""The Ray cluster of a sweep: the connection to it, and how many trials fit on it at a time.

Ray and torch are imported when used: one process needs no Ray.
"""

# Ray's functions are typed in part.
# pyright: reportUnknownMemberType=false

import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ire.extras import explain_missing
from ire.invalid_input import InvalidInput
from ire.storage.storage import is_uri, open_storage
from ire.sweeps.plan.plan import Plan
from ire.sweeps.ray.local_cluster import local_cluster
from trainables.gang.shares import UNITS, places

ANSWER_SECONDS = 60.0
"""Seconds that a node may take to answer a question."""
STARTING_SECONDS = 60.0
"""Seconds that a cluster may take to listen, since a job's script may start it at the same time."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """The resources of one machine."""

    cpus: float
    gpus: float


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """How many trials run at a time, and the arithmetic behind it."""

    slots: int
    arithmetic: str


def capacity(plan: Plan, nodes: Sequence[Node]) -> Capacity:
    """The slots of a sweep on `nodes`; raises `InvalidInput` if not even one trial fits.

    A worker must fit on one node; the workers of a trial may run on several nodes.
    """
    check_gpus(plan)
    cpus, gpus, workers = plan.cpus_per_worker, plan.gpus_per_worker, plan.workers
    here = 0
    for node in nodes:
        fit = places(node.cpus, cpus)
        here += min(fit, places(node.gpus, gpus)) if gpus else fit
    have = f"{len(nodes)} node{'s' * (len(nodes) != 1)} with {sum(n.cpus for n in nodes):g} CPUs"
    all_gpus = sum(node.gpus for node in nodes)
    have += f" and {all_gpus:g} GPU{'s' * (all_gpus != 1)}"
    need = f"{workers} worker{'s' * (workers != 1)} x {cpus} CPU"
    need += f" + {gpus:g} GPU" if gpus else ""
    fitting = here // workers
    if fitting == 0:
        raise InvalidInput(
            f"a trial needs {need}, and {have} hold {here} such workers, so no trial could ever start; join a "
            "larger cluster with --address; a new sweep may lower --workers, --cpus-per-worker or --gpus-per-worker"
        )
    slots = min(fitting, plan.max_concurrent or fitting)
    capped = f", capped at {slots} by --max-concurrent" if slots < fitting else ""
    shared = f", {places(1, gpus)} trials to a GPU" if 0 < gpus <= 0.5 else ""
    return Capacity(
        slots=slots, arithmetic=f"{have} / ({need} a trial) = {fitting} at a time{capped}{shared}"
    )


def check_gpus(plan: Plan) -> None:
    """Raise `InvalidInput` for a share of GPUs that Ray or NCCL would refuse later, less clearly."""
    gpus = plan.gpus_per_worker
    if 0 < gpus < 1 / UNITS or (gpus > 1 and gpus != int(gpus)):
        raise InvalidInput(
            f"--gpus-per-worker {gpus:g}: must be 0, a share of one GPU from {1 / UNITS:g}, or a whole number of GPUs"
        )
    if plan.workers > 1 and 0 < gpus < 1:
        raise InvalidInput(
            f"--workers {plan.workers} --gpus-per-worker {gpus:g}: two workers of a trial may share a GPU, "
            "which NCCL refuses; use one GPU per worker (--gpus-per-worker 1), or one worker (--workers 1)"
        )


def gpus_by_default(address: str | None) -> float:
    """The default of `--gpus-per-worker`: 1 if the cluster has GPUs, else 0."""
    if not joins_a_cluster(address):
        found = this_machine()
    else:
        with connected(address):
            found = nodes()
    return 1.0 if any(node.gpus >= 1 for node in found) else 0.0


def this_machine() -> list[Node]:
    """The only node of a cluster started here, as a list."""
    import joblib  # pyright: ignore[reportMissingTypeStubs] - it has none
    import torch

    return [Node(cpus=joblib.cpu_count(), gpus=torch.cuda.device_count())]


@contextlib.contextmanager
def connected(address: str | None) -> Generator[None, None, None]:
    """A Ray cluster: the one at `address` (or RAY_ADDRESS), else one that is started here and ended afterwards."""
    import ray

    address = address or os.environ.get("RAY_ADDRESS")
    if ray.is_initialized():  # a notebook's, or the tests'
        yield
        return
    if address:
        listens = _listens(address)
        try:
            _join(address, asks_first=listens)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InvalidInput(
                f"--address {address!r}: no Ray cluster answers there, or it does not accept {token_in_use()} "
                f"({str(error).strip().splitlines()[0]}); `ire doctor --address {address}` shows details, and "
                "docs/cluster.md explains how all nodes get the same token"
            ) from error
    else:
        (machine,) = this_machine()
        with local_cluster(cpus=int(machine.cpus), gpus=int(machine.gpus)):
            yield
        return
    try:
        yield
    finally:
        ray.shutdown()


def _listens(address: str) -> bool:
    """Whether it is a host and port, at which something listens; False for Ray's other forms, such as `auto`.

    Raises `InvalidInput` if nothing listens; `ray.init` would wait for more than five minutes.
    """
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        return False
    deadline = time.monotonic() + STARTING_SECONDS
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
                return True
        except (OSError, OverflowError) as error:
            if time.monotonic() > deadline:
                raise InvalidInput(
                    f"--address {address!r}: no Ray cluster answers there ({error}); `ray start --head` prints the "
                    "address of the cluster that it starts"
                ) from error
        time.sleep(0.5)


def _join(address: str, *, asks_first: bool) -> None:
    """Join a cluster without a token, or with the user's token if the cluster requires one.

    With `asks_first` a wrong token is refused at once: `ray.init` tries 20 times, a second apart.

    A cluster without authentication must not get the token: Ray (2.60) accepts such a driver, but cancels every actor
    that it starts.
    """
    import ray

    from trainables.gang.ray_internals import forget_token, refuses_the_token, show_the_token_that_is_there

    def join() -> None:
        if asks_first and refuses_the_token(address):
            raise ConnectionError("Unauthenticated")
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)

    try:
        join()
        return
    except (ConnectionError, ValueError, RuntimeError):
        ray.shutdown()
        before = os.environ.get("RAY_AUTH_MODE")
        show_the_token_that_is_there()
        if os.environ.get("RAY_AUTH_MODE") == before:
            raise
    forget_token()
    join()


def token_in_use() -> str:
    """How this process authenticates to a cluster, in words; never the token itself."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return "a driver without a token (RAY_AUTH_MODE=token shows one)"
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "the token in RAY_AUTH_TOKEN"
    return f"the token in {os.environ.get('RAY_AUTH_TOKEN_PATH') or '~/.ray/auth_token'}"


def joins_a_cluster(address: str | None) -> bool:
    """Whether `connected` would join an existing cluster rather than start one on this machine."""
    with explain_missing("a sweep of several trials at a time"):
        import ray

    return bool(address or os.environ.get("RAY_ADDRESS")) or ray.is_initialized()


def nodes() -> list[Node]:
    """The living nodes of the connected cluster."""
    return [
        Node(cpus=node["Resources"].get("CPU", 0), gpus=node["Resources"].get("GPU", 0))
        for node in alive_nodes()
    ]


def alive_nodes() -> list[dict[str, Any]]:
    """Ray's description of each living node of the connected cluster."""
    import ray

    return [node for node in cast(list[dict[str, Any]], ray.nodes()) if node["Alive"]]


def check_shared(location: str | Path) -> None:
    """Raise `InvalidInput` if a node of the cluster cannot access the location of an experiment.

    Leaves nothing behind. A folder on the only node needs no check.
    """
    alive = {node["NodeID"]: node["NodeManagerHostname"] for node in alive_nodes()}
    if is_uri(location):
        _check_store(str(location), alive)
    elif len(alive) > 1:
        _check_folder(Path(location), alive)


def _check_folder(location: Path, nodes: Mapping[str, str]) -> None:
    parent = next(path for path in [location, *location.parents] if path.exists())
    probe = parent / f".ire-probe-{uuid.uuid4().hex}"
    probe.touch()
    try:
        missing = list(asked(nodes, _without, str(probe)).values())
    finally:
        probe.unlink()
    if missing:
        raise InvalidInput(
            f"--storage: {str(parent)!r} is not the same folder on {', '.join(missing)}: it must be on a "
            "file system that all nodes share, or in an object store (s3://..., gs://...)"
        )


def _check_store(location: str, nodes: Mapping[str, str]) -> None:
    store, probe = open_storage(location), f"probe-{uuid.uuid4().hex}"
    try:
        store.write(probe, b"probe")
    except OSError as error:
        raise InvalidInput(f"--storage {location!r}: cannot be written to ({error})") from error
    try:
        failed = list(asked(nodes, _unreadable, location, probe).values())
    finally:
        with contextlib.suppress(OSError):
            store.delete(probe)
    if failed:
        raise InvalidInput(
            f"--storage {location!r} cannot be read on a node of the cluster ({'; '.join(failed)}): every node needs "
            "the credentials, see docs/cluster.md"
        )


def asked(nodes: Mapping[str, str], question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """The answers of `question` on each node, by node, without those that are None.

    `nodes` maps the id of each node to its host. For a node that does not answer the value is a text with the reason.
    """
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=0)(question)
    waiting: dict[Any, str] = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            *arguments
        ): node
        for node in nodes
    }
    answered, silent = cast(Any, ray).wait(list(waiting), num_returns=len(waiting), timeout=ANSWER_SECONDS)
    found: dict[str, Any] = {}
    for answer in answered:
        node = waiting[answer]
        try:
            found[node] = ray.get(answer)
        except RayError as error:
            found[node] = f"{nodes[node]}: {str(error).strip().splitlines()[-1]}"
    for late in silent:
        ray.cancel(late, force=True)
        found[waiting[late]] = f"{nodes[waiting[late]]}: no answer within {ANSWER_SECONDS:.0f} s"
    return {node: answer for node, answer in found.items() if answer}


def _without(probe: str) -> str | None:
    return None if Path(probe).exists() else socket.gethostname()


def _unreadable(location: str, probe: str) -> str | None:
    try:
        open_storage(location).read(probe)
    except (OSError, InvalidInput) as error:
        return f"{socket.gethostname()}: {error}"
    return None
