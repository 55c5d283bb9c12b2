"""What people read: its reader may go away, stop or know ASCII alone, and what is printed can do no harm."""

import io
import os
import pty
import time

import pytest
from rich.table import Table
from rich.text import Text
from simulated import make_plan, simulate

from ire.sweeps.ray.tune_run import TuneRun
from ire.sweeps.records.experiment_home import FolderHome
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.console import plain_console
from ire.sweeps.watch.output import Output
from ire.sweeps.watch.progress import Progress


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text):
        raise OSError(5, "Input/output error")


def broken_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


def closed_file():
    file = io.StringIO()
    file.close()
    return file


def full_disk():
    return open("/dev/full", "w")


def closed_terminal():
    master, terminal = pty.openpty()
    os.close(master)
    return os.fdopen(terminal, "w")


@pytest.mark.parametrize("gone", [Gone, broken_pipe, closed_file, full_disk, closed_terminal])
def test_a_sweep_goes_on_when_its_output_goes_away(gone, tmp_path):
    plan = make_plan(methods=("sgd",), trials=3, confirm_seeds=1, curve=())
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    protocol = Protocol(plan, tmp_path)
    progress = Progress(plain_console(file=gone(), waits=False))
    tune = TuneRun(protocol, FolderHome(tmp_path), slots=lambda: 1, watchers=[progress])
    progress.opened(protocol)
    progress._shown = -1e9
    for _ in range(3):
        tune.tick()
        progress.noticed("a worker was lost")
    tune.close()
    assert tune.cannot_go_on is None
    simulate(plan, tmp_path)


def test_a_reader_that_has_stopped_keeps_no_sweep_waiting():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as file:
        output = Output(file, waits=False)
        began = time.monotonic()
        for _ in range(40):
            output.write("x" * 10_000)
        assert time.monotonic() - began < 5
        assert os.read(reader, 1) == b"x", "what fitted is there"
        os.set_blocking(reader, False)
        while True:
            try:
                os.read(reader, 2**16)
            except BlockingIOError:
                break
        output.write("seen again")
        assert os.read(reader, 100) == b"seen again"
    os.close(reader)


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "<0.50 ~ [k]"), ("utf-8", "≤0.50 ± [κ]")])
def test_every_encoding_gets_what_it_can_show_in_the_same_columns(encoding, shown):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    table = Table("speed-up", "±")
    table.add_row(Text("≤0.50 ± [κ]"), Text("é"))
    plain_console(file=file, width=40).print(table)
    lines = file.buffer.getvalue().decode(encoding).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert shown in "".join(lines)


def test_a_console_prints_no_control_that_others_wrote():
    file = io.StringIO()
    console = plain_console(file=file, force_terminal=True, width=80)
    table = Table("cause")
    table.add_row(Text("\x1b]0;title\x07"))
    for what in (table, "\x1b[2J\x9b31m", Text("s3://KEY:SECRET@bucket")):
        console.print(what, style="bold red")
    shown = file.getvalue()
    assert "\x07" not in shown
    assert "\x9b" not in shown
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    assert "SECRET" not in shown
    assert "\x1b[1;31m" in shown, "its own colours it does print"
