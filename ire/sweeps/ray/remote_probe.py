"""Probes a training function on the cluster, with the resources and the data of a worker."""

from dataclasses import asdict
from typing import Any, cast

import ray
from ray import cloudpickle
from ray.exceptions import RayTaskError

from ire.sweeps.plan.plan import Plan
from ire.sweeps.ray.held_function import pickled
from ire.trial.spec import TrialSpec
from trainables.data.folder import data_in
from trainables.functions.function import TrainingFunction, load_workload
from trainables.functions.in_process import hold
from trainables.functions.probe import EVAL_INTERVAL, STEPS, Probed, probe
from trainables.functions.sources import Sources, install
from trainables.gang.shares import share
from trainables.gang.trainable import remove_abandoned_placement_groups

SECONDS = 2.0
"""Seconds between two checks for resources of dead gangs."""


def probe_on_ray(plan: Plan) -> Probed:
    """The findings of a probe of the plan's function on the cluster; re-raises its exception."""
    function = load_workload(plan.task, plan.import_path)
    assert isinstance(function, TrainingFunction)
    found = function.sources
    specs = plan.probe_trials(steps=STEPS, eval_interval=EVAL_INTERVAL)
    gpus = share(plan.gpus_per_worker) if plan.gpus_per_worker else 0
    as_task: Any = ray.remote(num_cpus=plan.cpus_per_worker, num_gpus=gpus, max_retries=0)
    task = as_task(_probe)
    probed = task.remote(
        [spec.to_dict() for spec in specs],
        import_path=list(plan.import_path),
        sources=asdict(found) if found else None,
        function=pickled(plan.task),
        data_dir=plan.data_dir,
        device="cuda" if gpus else "cpu",
        in_group=plan.workers > 1,
    )
    while not ray.wait([probed], timeout=SECONDS)[0]:  # pyright: ignore[reportUnknownMemberType] - ray has it in part
        remove_abandoned_placement_groups()  # of an earlier sweep of this process; the probe would wait for them
    try:
        return cast(Probed, ray.get(probed))
    except RayTaskError as error:
        raise error.cause from error


def _probe(
    specs: list[dict[str, Any]],
    *,
    import_path: list[str],
    sources: dict[str, Any] | None,
    function: bytes | None,
    data_dir: str | None,
    device: str,
    in_group: bool,
) -> Probed:
    if sources is not None:
        install(Sources(**sources))
    if function is not None:
        hold(*cloudpickle.loads(function))
    trials = [TrialSpec.from_dict(spec) for spec in specs]
    with data_in(data_dir):
        workload = load_workload(trials[0].task, import_path)
        assert isinstance(workload, TrainingFunction)
        return probe(workload, trials, device=device, in_group=in_group)
