"""Batches that a thread makes ahead: the thread is gone before Python ends."""

import subprocess
import sys

LEFT = """
import time, torch
from trainables.data.prefetch import ahead

def batches():
    while True:
        yield torch.randn(700, 700) @ torch.randn(700, 700)

left = ahead(batches(), 1000)
next(left)
raise SystemExit(3)
"""


def test_a_process_that_ends_while_batches_are_made_is_not_aborted():
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "")
