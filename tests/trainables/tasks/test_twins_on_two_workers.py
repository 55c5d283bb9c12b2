"""Two workers train a twin as one does: with its augmentation, its mixing and its tokens dealt out."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ire.methods.method import parse_method
from ire.trial.spec import TrialSpec
from search_spaces import find_space
from trainables.training.loop import train

TASKS = ("cifar100-vit-t@tiny", "imagenet-vit-s@tiny", "minipile-llama119m@tiny", "alpaca-lora@tiny")


def spec_of(task: str) -> TrialSpec:
    space, method = find_space(task), parse_method("adamw-ire")
    settings = space.published(method) | {
        "start_fraction": 0.5,
        "start_loss": 0.0,
        "interval": 2,
        "eps": 1e-3,
    }
    return TrialSpec(
        task=task, method=method.name, settings=method.resolve(settings), seed=2, horizon=6, eval_interval=3
    )


def reports_of(task: str, **workers) -> list[dict]:
    reports = []
    train(spec_of(task), lambda r, _: reports.append(r) or True, **workers)
    return reports


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save({task: reports_of(task, rank=rank, world_size=2) for task in TASKS}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()
    Path(folder, f"{rank}.threads").write_text("\n".join(threads()))


def threads() -> list[str]:
    """The names of this process's threads, where the system tells them."""
    return [(thread / "comm").read_text().strip() for thread in Path("/proc/self/task").glob("*")]


@pytest.mark.slow
def test_two_workers_give_the_curve_of_one_to_rounding(small_data, tmp_path):
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    both = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for task in TASKS:
        alone = reports_of(task)
        for key in ("train_loss", "val_loss", "grad_norm"):
            one, *two = ([r[key] for r in reports] for reports in (alone, both[0][task], both[1][task]))
            assert two[0] == two[1], (task, key)
            assert one == pytest.approx(two[0], rel=1e-3), (task, key)
    for rank in (0, 1):  # a thread of the group that is left may abort the process when it ends
        assert "gloo" not in (tmp_path / f"{rank}.threads").read_text()
