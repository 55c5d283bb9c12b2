"""What a kill kept from TensorBoard is written at the next start, once."""

import time

import pytest
from simulated import Killed, make_plan, simulate
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ire.storage.storage import below
from ire.sweeps.records.experiment_home import FolderHome, StoreHome
from ire.sweeps.records.records import RUNNING
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.tensorboard import TensorBoard


@pytest.fixture(params=["folder", "store"])
def home(request, tmp_path):
    """Where a sweep of three methods was killed in the middle of a trial."""
    home = (
        FolderHome(tmp_path / "sweep")
        if request.param == "folder"
        else StoreHome(below(request.getfixturevalue("s3"), "tensorboard"))
    )
    if request.param == "folder":
        home.create()
    with pytest.raises(Killed):
        simulate(make_plan(), home.folder, kill_after=100)
    yield home
    for name in ("trials", "trials.jsonl", "results.jsonl"):
        home.location.startswith("s3:") and home._store.delete(name)


def curve(home, name):
    events = EventAccumulator(str(home.folder / "trials" / name)).Reload()
    ends = (
        [e.value for e in events.Scalars("end/progress")]
        if "end/progress" in events.Tags()["scalars"]
        else []
    )
    return [(e.step, e.value) for e in events.Scalars("loss/val_loss")], ends


def told_of(home):
    time.sleep(1.1)  # TensorBoard sorts files by the second of their birth
    board = TensorBoard(home)
    protocol = Protocol(make_plan(), home.folder)
    board.opened(protocol)
    board.closed()
    with home.locked():
        home.publish()
    return protocol.records.trials.values()


def test_a_resume_writes_what_is_missing_and_no_more(home):
    protocol = Protocol(make_plan(), home.folder)
    first, second, *_ = protocol.records.trials.values()
    board = TensorBoard(home)
    board.started(first)
    for report in first.reports[:2]:  # so much came through
        board.reported(first, report, {})
    board.started(second)
    for report in second.reports:
        board.reported(second, report, {})
    board.ended(second)
    board.closed()
    with home.locked():
        home.publish()
    trials = list(told_of(home))
    assert len(trials) > 3
    assert sum(trial.status == RUNNING for trial in trials) == 1
    for _ in range(2):
        for trial in trials:
            losses, ends = curve(home, trial.name)
            assert [step for step, _ in losses] == [r["step"] for r in trial.reports], trial.name
            assert [value for _, value in losses] == pytest.approx([r["val_loss"] for r in trial.reports])
            assert len(ends) == (trial.status != RUNNING)
        told_of(home)  # a second time there is nothing to add
