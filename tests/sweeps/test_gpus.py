"""Which share of which GPU a trial gets: exact arithmetic, refusals in words, and the default."""

import pytest
from simulated import make_plan

import ire.sweeps.experiments.launch as launch
import ire.sweeps.ray.cluster as cluster
from ire.invalid_input import InvalidInput
from ire.sweeps.plan.options import PLANNED
from ire.sweeps.ray.cluster import Node, capacity, gpus_by_default
from trainables.gang.shares import places, share, units


@pytest.mark.parametrize(
    ("need", "fitting"),
    [
        (1, 1),
        (0.5, 2),
        (0.34, 2),
        (1 / 3, 3),
        (0.25, 4),
        (0.2, 5),
        (1 / 7, 7),
        (0.125, 8),
        (0.1, 10),
        (0.05, 20),
    ],
)
def test_as_many_trials_share_a_gpu_as_fit(need, fitting):
    assert capacity(make_plan(gpus_per_worker=need), [Node(cpus=64, gpus=1.0)]).slots == fitting


@pytest.mark.parametrize("need", [1 / n for n in range(1, 60)])
def test_what_ray_is_asked_for_fits_as_often_in_its_own_rounding(need):
    rays = round(share(need) * 10_000)  # a FixedPoint: ten-thousandths, to the nearest
    assert 10_000 // rays == places(1.0, need) >= round(1 / need)


def test_a_share_lies_on_one_gpu():
    assert capacity(make_plan(gpus_per_worker=0.4), [Node(cpus=64, gpus=2)]).slots == 4


def test_units_do_not_lose_one_to_the_error_of_a_float():
    assert [units(n / 10_000) for n in range(10_000)] == list(range(10_000))


@pytest.mark.parametrize("gpus", [1.5, 2.25, 0.00001])
def test_what_ray_refuses_is_refused_before(gpus):
    with pytest.raises(InvalidInput, match="whole number of GPUs"):
        capacity(make_plan(gpus_per_worker=gpus), [Node(cpus=64, gpus=8)])


def test_two_workers_that_may_share_a_gpu_are_refused_with_nccls_reason():
    with pytest.raises(InvalidInput, match=r"NCCL refuses.*--gpus-per-worker 1.*--workers 1"):
        capacity(make_plan(workers=2, gpus_per_worker=0.5), [Node(cpus=64, gpus=1)])


def test_how_many_share_a_gpu_is_said():
    assert (
        "4 trials to a GPU" in capacity(make_plan(gpus_per_worker=0.25), [Node(cpus=64, gpus=1)]).arithmetic
    )


@pytest.mark.parametrize(("gpus", "default"), [(0, 0.0), (1, 1.0), (8, 1.0)])
def test_gpus_are_used_where_there_are_some(monkeypatch, gpus, default):
    monkeypatch.setattr(cluster, "joins_a_cluster", lambda address: False)
    monkeypatch.setattr(cluster, "this_machine", lambda: [Node(cpus=8, gpus=gpus)])
    assert gpus_by_default(None) == default


@pytest.mark.parametrize(("said", "taken"), [("cpu", 0.0), ("0.25", 0.25), (0.25, 0.25), ("1", 1.0)])
def test_a_share_is_a_number_or_the_word_cpu(said, taken):
    option = PLANNED["gpus_per_worker"]
    assert option.taken(said) == taken
    option.check(option.taken(said))


def test_another_word_is_refused_with_what_is_allowed():
    option = PLANNED["gpus_per_worker"]
    with pytest.raises(InvalidInput, match="gpus-per-worker 'all': must be a number or cpu"):
        option.check(option.taken("all"))


@pytest.mark.parametrize("address", [None, "127.0.0.1:1"])
def test_a_share_that_is_refused_is_refused_before_a_model_is_built_or_a_cluster_joined(
    monkeypatch, tmp_path, address
):
    monkeypatch.setattr(launch, "preflight", None)
    with pytest.raises(InvalidInput, match="NCCL refuses"):
        launch.sweep(
            "digits", methods=["sgd"], workers=2, gpus_per_worker=0.5, storage=tmp_path, address=address
        )
    assert not list(tmp_path.iterdir())
