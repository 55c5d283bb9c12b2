"""Two workers train as one worker does on the concatenated batch."""

from contextlib import contextmanager

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ire.methods.method import parse_method
from ire.methods.updates import UPDATES
from ire.trial.spec import TrialSpec
from search_spaces import find_space
from trainables.training.loop import train


def spec_of(name: str) -> TrialSpec:
    space, method = find_space("stdlib-lm"), parse_method(name)
    settings = space.published(method) | {"start_fraction": 0.25, "interval": 3}
    if method.update:  # several steps for one, and masks that turn on ties: rounding grows with the rate
        settings |= {"lr": 0.03}
    extra = {"external_norms": ((1, 0.8), (3, 0.5), (4, 0.4))} if method.update == "external" else {}
    return TrialSpec(
        task="stdlib-lm",
        method=name,
        settings=method.resolve({k: v for k, v in settings.items() if k in method.settings}),
        seed=2,
        horizon=4 if method.update else 12,
        eval_interval=3,
        **extra,
    )


@contextmanager
def in_float64():
    """In single precision the order of a sum decides which coordinates a mask takes at its threshold."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@in_float64()
def work(rank: int, folder: str, methods: tuple[str, ...]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    curves = {}
    for name in methods:
        reports = []
        train(spec_of(name), lambda r, _, out=reports: out.append(r) or True, rank=rank, world_size=2)
        curves[name] = reports
    torch.save(curves, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@in_float64()
def test_two_workers_give_the_curve_of_one_on_the_concatenated_batch_to_rounding(tmp_path):
    methods = (
        "adamw",
        "adamw-ire",
        "adamw-ire-random",
        "sgd-small-ire",
        *(f"sgd-{update}" for update in UPDATES if update != "aj"),
        *(f"sgd-{update}-ire" for update in ("large", "ft", "uj")),
    )
    mp.spawn(work, args=(str(tmp_path), methods), nprocs=2)
    both = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name in methods:
        alone = []
        train(spec_of(name), lambda r, _, out=alone: out.append(r) or True)
        keys = ("step", "gradient_evaluations", "train_loss", "val_loss", "val_accuracy")
        norms = {"grad_norm", "step_length", "micro_grad_norm", "penalty"} & alone[0].keys()
        for key in (*keys, *norms):
            one, *two = (
                [report[key] for report in reports] for reports in (alone, both[0][name], both[1][name])
            )
            assert two[0] == two[1], "the workers disagree"
            assert one == pytest.approx(two[0], rel=1e-9), (name, key)


SHARING = [
    ({"start_fraction": 6 / 12, "kappa": 2.0}, []),
    ({"start_fraction": 6 / 12, "kappa": 4.0}, [6]),
    ({"start_fraction": 4 / 12, "kappa": 2.0}, []),
    ({"start_fraction": 4 / 12, "kappa": 4.0}, [4]),
    ({"start_fraction": 7 / 12, "kappa": 1.0}, [6]),
    ({"start_fraction": 5 / 12, "kappa": 1.0}, []),  # step 4 has no report: only its like can begin there
    ({"start_loss": 8.0, "start_fraction": 0.9, "kappa": 2.0}, []),
    ({"start_loss": 8.0, "start_fraction": 0.9, "kappa": 4.0}, [1]),
]
"""Settings of trials one after the other, and where each of them begins."""


def share(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    told = []
    for task in ("stdlib-lm", "digits"):
        for settings, _ in SHARING:
            method = parse_method("adamw-ire")
            spec = TrialSpec(
                task=task,
                method=method.name,
                settings=method.resolve(find_space(task).published(method) | {"interval": 3} | settings),
                seed=2,
                horizon=12,
                eval_interval=3,
            )
            for prefixes in (None, f"{folder}/prefixes"):
                begun, reports = [], []
                train(
                    spec,
                    lambda r, _, out=reports: out.append(r) or True,
                    prefixes=prefixes,
                    on_prefix=lambda training, out=begun: out.append(training.step),
                    rank=rank,
                    world_size=2,
                )
                told.append((task, settings, begun, reports))
    torch.save(told, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_that_begin_with_the_steps_of_another_trial_are_bitwise_those_that_do_not(tmp_path):
    mp.spawn(share, args=(str(tmp_path),), nprocs=2)
    for rank in (0, 1):
        told = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert [begun for _, _, begun, _ in told[1::2]] == 2 * [expected for _, expected in SHARING]
        for (task, settings, _, alone), (_, _, _, shared) in zip(told[::2], told[1::2], strict=True):
            for one, other in zip(alone, shared, strict=True):
                for report in (one, other):
                    del report["seconds"], report["steps_per_second"]
                assert one == other, (task, settings)
