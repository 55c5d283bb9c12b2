"""Measures the seconds from `ire sweep digits --inline` to its first recorded report, and where they go.

    python benchmarks/first_report.py [--runs 5]

The parts are measured in separate processes, one after another, so they need not add up on a busy machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

COMMAND = "from ire.sweeps.command import main; main()"
PARTS = {
    "python": "pass",
    "import torch": "import torch",
    "import of what launches a sweep": "import ire.sweeps.experiments.launch",
}


def first_report() -> float:
    """Seconds until the first line of `results.jsonl`."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                COMMAND,
                "sweep",
                "digits",
                "--inline",
                "--name",
                "a",
                "--storage",
                folder,
            ],
            stdout=subprocess.DEVNULL,
        )
        results = Path(folder, "a", "results.jsonl")
        while not (results.exists() and results.stat().st_size):
            assert process.poll() is None, "the sweep has ended without a report"
            time.sleep(0.01)
        seconds = time.monotonic() - began
        process.terminate()
        process.wait()
    return seconds


def run(code: str) -> float:
    """Seconds of a process that runs `code`."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = range(parser.parse_args().runs)
    first_report()  # compiles bytecode, fills the disk cache
    seconds = sorted(first_report() for _ in runs)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"first report after {median(seconds):.1f} s ({seconds[0]:.1f} to {seconds[-1]:.1f})")
    for name, code in PARTS.items():
        print(f"  {name}: {median(run(code) for _ in runs):.1f} s")


if __name__ == "__main__":
    main()
