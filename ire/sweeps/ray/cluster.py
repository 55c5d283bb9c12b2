"""The Ray cluster a sweep runs on: how many trials fit at a time, and the connection to it."""

import contextlib
import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ire.extras import explain_missing
from ire.invalid_input import InvalidInput
from ire.storage.storage import is_uri, open_storage
from ire.sweeps.plan.plan import Plan
from ire.sweeps.ray.local_cluster import local_cluster
from trainables.gang.shares import UNITS, places

ANSWER_SECONDS = 60.0
"""How long a node may take to say whether it sees the storage."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """What one machine offers."""

    cpus: float
    gpus: float


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """How many trials run at a time, and the arithmetic that says so."""

    slots: int
    arithmetic: str


def capacity(plan: Plan, nodes: Sequence[Node]) -> Capacity:
    """The slots of a sweep on `nodes`; raises `InvalidInput` if not even one trial fits.

    A worker must fit on one node, the workers of a trial may spread.
    """
    check_gpus(plan)
    cpus, gpus, workers = plan.cpus_per_worker, plan.gpus_per_worker, plan.workers
    here = 0
    for node in nodes:
        fit = places(node.cpus, cpus)
        here += min(fit, places(node.gpus, gpus)) if gpus else fit
    have = f"{len(nodes)} node{'s' * (len(nodes) != 1)} with {sum(n.cpus for n in nodes):g} CPUs"
    have += f" and {sum(n.gpus for n in nodes):g} GPUs"
    need = f"{workers} worker{'s' * (workers != 1)} x {cpus} CPU"
    need += f" + {gpus:g} GPU" if gpus else ""
    fitting = here // workers
    if fitting == 0:
        raise InvalidInput(
            f"a trial needs {need}, and {have} hold {here} such workers, so no trial could ever start; lower "
            "--workers, --cpus-per-worker or --gpus-per-worker, or join a larger cluster with --address"
        )
    slots = min(fitting, plan.max_concurrent or fitting)
    capped = f", capped at {slots} by --max-concurrent" if slots < fitting else ""
    shared = f", {places(1, gpus)} trials to a GPU" if 0 < gpus <= 0.5 else ""
    return Capacity(
        slots=slots, arithmetic=f"{have} / ({need} a trial) = {fitting} at a time{capped}{shared}"
    )


def check_gpus(plan: Plan) -> None:
    """Raise `InvalidInput` for a share of GPUs that Ray or NCCL refuses later on, in words of their own."""
    gpus = plan.gpus_per_worker
    if 0 < gpus < 1 / UNITS or (gpus > 1 and gpus != int(gpus)):
        raise InvalidInput(
            f"--gpus-per-worker {gpus:g}: must be 0, a share of one GPU from {1 / UNITS:g}, or a whole number of GPUs"
        )
    if plan.workers > 1 and 0 < gpus < 1:
        raise InvalidInput(
            f"--workers {plan.workers} --gpus-per-worker {gpus:g}: two workers of a trial may come to share a GPU, "
            "which NCCL refuses; give each a GPU (--gpus-per-worker 1), or a trial one worker (--workers 1)"
        )


def gpus_by_default(address: str | None) -> float:
    """What `--gpus-per-worker` is where nothing is said: 1 if the cluster has GPUs, otherwise 0."""
    if not joins_a_cluster(address):
        found = this_machine()
    else:
        with connected(address):
            found = nodes()
    return 1.0 if any(node.gpus >= 1 for node in found) else 0.0


def this_machine() -> list[Node]:
    """The one node of a cluster started here."""
    import joblib
    import torch

    return [Node(cpus=joblib.cpu_count(), gpus=torch.cuda.device_count())]


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A Ray cluster: the one at `address` (or RAY_ADDRESS), else one started here and ended after."""
    import ray

    address = address or os.environ.get("RAY_ADDRESS")
    if ray.is_initialized():  # a notebook's, or the tests'
        yield
        return
    if address:
        try:
            _join(address)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InvalidInput(
                f"--address {address!r}: no Ray cluster answers there, or none that takes {token_in_use()} "
                f"({str(error).strip().splitlines()[0]}); `ire doctor --address {address}` says more, and "
                "docs/cluster.md how nodes come to have one token"
            ) from error
    else:
        (machine,) = this_machine()
        with local_cluster(cpus=int(machine.cpus)):
            yield
        return
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    """Join a cluster: as it is, or with the user's token where it asks for one.

    The token is not shown to a cluster without authentication: Ray (2.60) lets such a driver in and then cancels
    every actor that it starts.
    """
    import ray

    from trainables.gang.ray_internals import forget_token, show_the_token_that_is_there

    options = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(**options)
        return
    except (ConnectionError, ValueError, RuntimeError):
        ray.shutdown()
        before = os.environ.get("RAY_AUTH_MODE")
        show_the_token_that_is_there()
        if os.environ.get("RAY_AUTH_MODE") == before:
            raise
    forget_token()
    ray.init(**options)


def token_in_use() -> str:
    """How this process authenticates itself to a cluster, in words; never the token."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return "a driver without a token (RAY_AUTH_MODE=token shows one)"
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "the token in RAY_AUTH_TOKEN"
    return f"the token in {os.environ.get('RAY_AUTH_TOKEN_PATH') or '~/.ray/auth_token'}"


def joins_a_cluster(address: str | None) -> bool:
    """Whether `connected` would join a cluster that exists, instead of starting one on this machine."""
    with explain_missing("a sweep of several trials at a time"):
        import ray

    return bool(address or os.environ.get("RAY_ADDRESS")) or ray.is_initialized()


def nodes() -> list[Node]:
    """The living nodes of the cluster that is connected."""
    return [
        Node(cpus=node["Resources"].get("CPU", 0), gpus=node["Resources"].get("GPU", 0))
        for node in alive_nodes()
    ]


def alive_nodes() -> list[dict[str, Any]]:
    """What Ray says of each living node of the cluster that is connected."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def check_shared(location: str | Path) -> None:
    """Raise `InvalidInput` if a node of the cluster does not see the place where an experiment is to be.

    Nothing is left there. A folder on the only node there is needs no look.
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
            "file system that all nodes share, or an object store (s3://..., gs://...)"
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
            "its credentials, see docs/cluster.md"
        )


def asked(nodes: Mapping[str, str], question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """By node, what `question` answers there, but for None; a node that does not answer has a text that says why.

    `nodes` maps the id of each node to its host.
    """
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=0)(question)
    waiting = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            *arguments
        ): node
        for node in nodes
    }
    answered, silent = ray.wait(list(waiting), num_returns=len(waiting), timeout=ANSWER_SECONDS)
    told: dict[str, Any] = {}
    for answer in answered:
        node = waiting[answer]
        try:
            told[node] = ray.get(answer)
        except RayError as error:
            told[node] = f"{nodes[node]}: {str(error).strip().splitlines()[-1]}"
    for late in silent:
        ray.cancel(late, force=True)
        told[waiting[late]] = f"{nodes[waiting[late]]}: no answer within {ANSWER_SECONDS:.0f} s"
    return {node: answer for node, answer in told.items() if answer}


def _without(probe: str) -> str | None:
    return None if Path(probe).exists() else socket.gethostname()


def _unreadable(location: str, probe: str) -> str | None:
    try:
        open_storage(location).read(probe)
    except (OSError, InvalidInput) as error:
        return f"{socket.gethostname()}: {error}"
    return None
