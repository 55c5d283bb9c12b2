"""A task that breaks: worker 1 of trial 0 raises, worker 1 of another trial dies once."""

import os
import signal
from pathlib import Path

import torch.distributed as dist

from trainables.seeds import derive_seed
from trainables.tasks.digits import Digits

HERE = Path(__file__).parent
SEED_OF_TRIAL_0 = derive_seed(0, "search", 0) % 2**31


class Faulty(Digits):
    name = "faulty"

    def train_batches(self, *, seed, start):
        for step, batch in enumerate(super().train_batches(seed=seed, start=start), start):
            if seed == SEED_OF_TRIAL_0 and step == 12 and dist.get_rank() == 1:
                raise RuntimeError("this trial cannot be trained")
            if step == 20 and dist.get_rank() == 1 and not (HERE / "killed").exists():
                (HERE / "killed").write_text(str(seed))
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch
