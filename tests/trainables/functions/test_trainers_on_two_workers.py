"""A Hugging Face and a Lightning trainer, and a plain loop, with `--workers 2`: in a process group that exists."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from test_trainers_of_others import hugging_face, lightning_trainer, losses

from ire.trial.spec import TrialSpec
from trainables.functions.function import as_function
from trainables.functions.run import run_function


def plain_loop(*, begun, checkpoint):
    """A loop whose workers draw other random numbers."""

    def train(trial):
        torch.manual_seed(100 + trial.rank)
        begun.append(trial.first_step)
        assert trial.saved == (None if trial.first_step == 0 else {"step": trial.first_step})
        for step in range(trial.first_step, trial.horizon):
            drawn = torch.rand(()).item()
            if trial.due(step + 1):
                trial.report(step + 1, train_loss=drawn, val_loss=drawn, val_accuracy=drawn)
                trial.save({"step": step + 1})

    return train


TRAINERS = {"accelerate": hugging_face, "lightning": lightning_trainer, "torch": plain_loop}


def work(rank: int, folder: str, port: int, package: str) -> None:
    """A trial as it is; one that is stopped at step 4; and that one again."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    spec = TrialSpec(
        task="a.py:train", method="adamw", settings={"lr": 0.01}, seed=3, horizon=7, eval_interval=2
    )
    found = {}
    for name, stop_at, checkpoint in (("whole", None, "one"), ("begun", 4, "two"), ("resumed", None, "two")):
        reports, begun = [], []

        def take(report, _, reports=reports, stop_at=stop_at):
            reports.append(report)
            return report["step"] != stop_at

        run_function(
            spec,
            take,
            function=as_function(TRAINERS[package](checkpoint=True, begun=begun)),
            checkpoint=f"{folder}/{checkpoint}",
            checkpoint_seconds=0.0,
            rank=rank,
            world_size=2,
        )
        found[name] = {"losses": losses(reports), "began": begun[0]}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("package", TRAINERS)
def test_two_workers_report_the_same_and_continue_bit_for_bit(package, tmp_path):
    pytest.importorskip(package)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, args=(str(tmp_path), port, package), nprocs=2)
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one == other
    assert [step for step, *_ in one["whole"]["losses"]] == [2, 4, 6, 7]
    assert one["resumed"]["losses"] == one["whole"]["losses"]
    assert one["resumed"]["began"] == 2
