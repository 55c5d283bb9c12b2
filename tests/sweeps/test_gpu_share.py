"""What a sweep suggests for its next one, from how busy its GPUs were."""

from types import SimpleNamespace

import pytest
import torch
from simulated import make_plan

from ire.sweeps.ray.gpu_share import memory_of_a_gpu, suggested_share
from trainables.training import utilization


def reports(busy, peak=1000.0):
    return [{"gpu_utilization": b, "peak_memory_mib": peak} for b in busy] + [{"val_loss": 1.0}]


@pytest.mark.parametrize(
    ("gpus", "busy", "share"),
    [
        (1.0, [0.1, 0.14], 0.2),  # five at 0.12 are 0.6, eight would be 0.96
        (1.0, [0.3], 0.5),
        (1.0, [0.05], 0.1),
        (0.5, [0.2], 0.125),  # two together are busy for 0.2: eight for 0.8
        (1.0, [0.9], None),
        (1.0, [0.5], None),
        (0.0, [0.1], None),
        (2.0, [0.1], None),
    ],
)
def test_the_share_leaves_a_fifth_of_the_gpus_time(gpus, busy, share):
    line = suggested_share(make_plan(gpus_per_worker=gpus), reports(busy), None)
    assert (line is None) if share is None else line.endswith(f"--gpus-per-worker {share:g}")


def test_it_leaves_a_fifth_of_the_memory_too():
    plan = make_plan(gpus_per_worker=1.0)
    assert suggested_share(plan, reports([0.05], peak=10_000), memory_mib=80_000).endswith(" 0.2")


def test_each_process_needs_memory_beside_its_tensors():
    plan = make_plan(gpus_per_worker=1.0)
    assert suggested_share(plan, reports([0.05], peak=100), memory_mib=8_000).endswith(" 0.125")


def test_the_smallest_gpu_of_the_machine_counts(monkeypatch):
    assert memory_of_a_gpu() is None or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = [SimpleNamespace(total_memory=80 * 2**30), SimpleNamespace(total_memory=40 * 2**30)]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: found[number])
    assert memory_of_a_gpu() == 40 * 2**10


def test_nothing_is_suggested_without_a_measurement_or_for_several_workers():
    assert suggested_share(make_plan(gpus_per_worker=1.0), [{"val_loss": 1.0}], None) is None
    assert suggested_share(make_plan(gpus_per_worker=1.0, workers=2), reports([0.1]), None) is None


def test_a_machine_without_the_library_measures_nothing(monkeypatch):
    monkeypatch.setattr(utilization, "LIBRARY", "no-such-library.so")
    utilization._library.cache_clear()
    assert utilization.gpu_utilization(torch.device("cuda")) == {}
    assert utilization.gpu_utilization(torch.device("cpu")) == {}
    utilization._library.cache_clear()
