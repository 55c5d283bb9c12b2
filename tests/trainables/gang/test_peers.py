"""What a worker sees when another one dies is told apart from an error of its own."""

import os
import signal
import subprocess
import sys

import pytest

from trainables.gang.serving import is_of_a_peer

WORKER = """
import os, signal, sys, torch, torch.distributed as dist
from trainables.gang.serving import is_of_a_peer
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 4))
model(torch.ones(2, 4)).sum().backward()
if rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    model(torch.ones(2, 4)).sum().backward()
    dist.barrier()
except Exception as error:
    print(is_of_a_peer(error), type(error).__name__, error, flush=True)
os._exit(0)
"""


@pytest.mark.slow
def test_the_death_of_a_peer_is_recognised(tmp_path):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(tmp_path)], env=os.environ, **pipes)
        for rank in (0, 1)
    ]
    told = workers[0].communicate(timeout=120)[0]
    assert workers[1].wait() == -signal.SIGKILL
    assert told.strip().rpartition("\n")[2].startswith("True "), told


@pytest.mark.parametrize("cause", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None])
def test_a_workers_own_error_is_its_own(cause):
    error = ValueError("labels out of range")
    error.__cause__ = cause
    assert not is_of_a_peer(error)
    error.__cause__ = RuntimeError("[/src/gloo/transport/tcp/pair.cc:545] Connection closed by peer")
    assert is_of_a_peer(error)
