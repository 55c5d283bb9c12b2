"""The digits task; logs when a trial's first step begins and when its last report is made, with the memory.

Used by `trial_turnover.py`. Lines go to `marks.jsonl` beside the module (the benchmark works on a copy).
"""

import time
from pathlib import Path

import psutil

from trainables.tasks.digits import Digits

MARKS = Path(__file__).with_name("marks.jsonl")


def mark(event: str) -> None:
    """Append one line: what happened, when (s), and the process's resident memory (bytes)."""
    with MARKS.open("a") as file:
        file.write(
            f'{{"event": "{event}", "time": {time.time()!r}, "rss": {psutil.Process().memory_info().rss}}}\n'
        )


class TimedDigits(Digits):
    name = "timed_digits"

    def train_batches(self, *, seed, start):
        first = True
        for batch in super().train_batches(seed=seed, start=start):
            if first:
                mark("first step")
                first = False
            yield batch

    def eval_batches(self, split):
        mark("last report")  # the space reports once, at the horizon
        return super().eval_batches(split)
