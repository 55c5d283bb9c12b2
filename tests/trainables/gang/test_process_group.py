"""How the workers of a gang are connected; the sweeps through Ray show that they are."""

import socket
import subprocess
import sys

from trainables.gang.process_group import ProcessGroup, free_address

ACTOR = """
import sys
from trainables.gang.trainable import GangTrainable, ProcessGroup
ProcessGroup("gloo").backend_cls()
print("torch" in sys.modules)
"""


def test_the_processes_that_only_start_workers_do_not_import_torch():
    done = subprocess.run([sys.executable, "-c", ACTOR], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_workers_of_one_machine_see_each_others_gpus():
    assert ProcessGroup("nccl").backend_cls.share_cuda_visible_devices


def test_the_address_can_be_listened_at():
    host, port = free_address()
    with socket.create_server((host, port)):
        pass
