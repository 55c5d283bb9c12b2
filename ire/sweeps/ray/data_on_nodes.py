"""Checks that all nodes of a cluster have the same data, since a sweep runs on one data set."""

import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ire.invalid_input import InvalidInput
from ire.sweeps.plan.plan import Plan
from ire.sweeps.ray.cluster import alive_nodes, asked
from trainables.data.folder import data_in
from trainables.functions.function import load_workload
from trainables.task import Task


@dataclass(frozen=True, kw_only=True)
class Found:
    """The data on one machine."""

    host: str
    identity: str | None = None
    """The value of `Task.data_identity`; None for data without one."""
    problem: str | None = None
    """Why the task cannot be trained there; None if it can."""


def data_on_nodes(plan: Plan) -> str | None:
    """The identity of the task's data on every machine of the connected cluster that can hold a worker.

    Each machine is asked once, this one without Ray. Raises `InvalidInput` if a machine lacks the data, or machines
    have different data.
    """
    workload = load_workload(plan.task, plan.import_path)
    if not isinstance(workload, Task) or not has_identity(workload):
        return None
    here, others = machines(plan)
    found = [look(plan.task, plan.data_dir, plan.import_path)] if here else []
    for node, answer in asked(others, look, plan.task, plan.data_dir, plan.import_path).items():
        found.append(answer if isinstance(answer, Found) else Found(host=others[node], problem=answer))
    return one_identity(plan.task, found)


def has_identity(task: Task) -> bool:
    """Whether a task's data has an identity: it is prepared data, or the task defines `data_identity`."""
    return task.data is not None or type(task).data_identity is not Task.data_identity


def machines(plan: Plan) -> tuple[bool, dict[str, str]]:
    """Whether this machine can run a worker of the sweep, and a node (id to host) of each other machine that can."""
    import ray  # slow to load

    others: dict[str, tuple[str, str]] = {}
    mine: str = cast(Any, ray.util).get_node_ip_address()  # has no types
    for node in alive_nodes():
        have = node["Resources"]
        if have.get("CPU", 0) >= plan.cpus_per_worker and have.get("GPU", 0) >= plan.gpus_per_worker:
            others[node["NodeManagerAddress"]] = (node["NodeID"], node["NodeManagerHostname"])
    here = others.pop(mine, None) is not None
    return here, dict(others.values())


def look(task: str, data_dir: str | None, import_path: Iterable[str]) -> Found:
    """The data of a task on this machine."""
    host = socket.gethostname()
    try:
        workload = load_workload(task, import_path)
        assert isinstance(workload, Task)
        with data_in(data_dir):
            workload.check_data()
            return Found(host=host, identity=workload.data_identity())
    except InvalidInput as error:
        return Found(host=host, problem=str(error))


def one_identity(task: str, found: Iterable[Found]) -> str | None:
    """The common identity of all machines; raises `InvalidInput` with the machines that differ."""
    hosts: Mapping[str | None, list[str]] = defaultdict(list)
    for one in found:
        if one.problem is not None:
            raise InvalidInput(
                f"{task} cannot be trained on {one.host}, a node of the cluster: {one.problem}"
            )
        hosts[one.identity].append(one.host)
    if len(hosts) > 1:
        differing = "; ".join(f"{identity!r} on {', '.join(names)}" for identity, names in hosts.items())
        raise InvalidInput(
            f"the nodes of the cluster have different data for {task}: {differing}; prepare the same everywhere "
            "(`ire data prepare`), or set --data-dir to a folder that all nodes share"
        )
    return next(iter(hosts), None)
