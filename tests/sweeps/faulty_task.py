"""A task that breaks in another way in each of its first trials; what is not said to be fatal happens once."""

import os
import signal
import time
from pathlib import Path

import torch
import torch.distributed as dist

from ire.trial.seeds import derive_seed
from trainables.tasks.digits import Digits

HERE = Path(__file__).parent
NUMBERS = {derive_seed(0, "search", number) % 2**31: number for number in range(20)}

OUT_OF_MEMORY = 0
HANGS = 1
STOPPED = 2
SLOW = 3
"""Trial 3 only takes its time, so that somebody can kill its actor."""
NAN = 4


class Faulty(Digits):
    name = "faulty"

    def train_batches(self, *, seed, start):
        number = NUMBERS.get(seed)
        for step, batch in enumerate(super().train_batches(seed=seed, start=start), start):
            if dist.get_rank() == 1 and step == 20:
                if number == OUT_OF_MEMORY:
                    torch.empty(2**60)
                if number in (HANGS, STOPPED) and not (HERE / f"fault-{number}").exists():
                    (HERE / f"fault-{number}").touch()
                    break_down(number)
            if number == NAN and step == 12:
                batch = (batch[0] * float("nan"), batch[1])
            if number == SLOW:
                time.sleep(0.1)
            yield batch


def break_down(number):
    if number == HANGS:
        time.sleep(1e6)
    os.kill(os.getpid(), signal.SIGSTOP)
