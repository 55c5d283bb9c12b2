"""What a kill kept from TensorBoard is written at the next start, once."""

import contextlib
import shutil
import time

import pytest
from simulated import Killed, make_plan, simulate
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from ire.storage.storage import below
from ire.sweeps.records.experiment_home import FolderHome
from ire.sweeps.records.records import RUNNING, TIMING
from ire.sweeps.records.store_home import StoreHome
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.run_groups import grouped
from ire.sweeps.watch.tags import GROUPS
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
        [e.value for e in events.Scalars("outcome/progress")]
        if "outcome/progress" in events.Tags()["scalars"]
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


@pytest.fixture
def board(tmp_path):
    """A finished sweep as TensorBoard was told of it at once; its folder and protocol."""
    protocol = simulate(make_plan(), tmp_path)
    board = TensorBoard(FolderHome(tmp_path))
    board.opened(Protocol(make_plan(), tmp_path))
    board.closed()
    return tmp_path, protocol


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_a_writers_thread_is_raised_and_not_printed(tmp_path):
    board = TensorBoard(FolderHome(tmp_path))
    board.opened(simulate(make_plan(), tmp_path))
    writer = board._writer("trial")
    shutil.rmtree(tmp_path / "trials" / "trial")
    with pytest.raises(OSError, match="No such file"):
        for step in range(3):
            writer.add_scalar("x", 1.0, step)
            writer.flush()
    with contextlib.suppress(OSError):
        board.closed()


def hparams(run) -> list:
    """What a run says for the HParams tab."""
    tags = EventAccumulator(str(run)).Reload().PluginTagToContent("hparams")
    return [plugin_data_pb2.HParamsPluginData.FromString(content) for content in tags.values()]


def test_the_hparams_tab_opens_with_what_was_searched_and_holds_no_constants(board):
    folder, _ = board
    (told,) = (found.experiment for found in hparams(folder / "trials") if found.HasField("experiment"))
    shown = sorted(told.hparam_infos, key=lambda info: (not info.differs, info.name))  # as the page does
    assert {info.name for info in shown[:5]} == {"method", "stage", "lr", "kappa", "gamma"}
    names = {info.name for info in told.hparam_infos}
    assert {"rho", "weight_decay", "start_fraction"} <= names
    assert not {"momentum", "clip_norm", "interval"} & names
    (start,) = (
        found.session_start_info
        for found in hparams(folder / "trials" / "sgd-0001")
        if found.HasField("session_start_info")
    )
    assert set(start.hparams) == {"method", "stage", "study", "seed", "lr", "weight_decay", "warmup_fraction"}


def test_runs_are_grouped_by_method_and_stage(board):
    folder, protocol = board
    trials = [trial for trial in protocol.records.trials.values() if trial.stage != TIMING]
    found = {path.relative_to(folder / "runs") for path in (folder / "runs").glob("*/*/*")}
    assert {str(path) for path in found} == {f"{t.arm}/{t.stage}/{t.name}" for t in trials}
    assert (folder / "runs" / "sgd" / "search" / "sgd-0000").resolve() == folder / "trials" / "sgd-0000"
    assert grouped(folder, trials) == folder / "runs"


def test_winners_are_marked_and_their_settings_are_written(board):
    folder, protocol = board
    winners = {arm.winner.name for arm in protocol.arms.values()}
    marked = {
        path.name
        for path in (folder / "trials").iterdir()
        if path.is_dir() and "outcome/won" in EventAccumulator(str(path)).Reload().Tags()["scalars"]
    }
    assert marked == winners
    root = EventAccumulator(str(folder / "trials")).Reload()
    text = root.Tensors("winner/sgd/text_summary")[0].tensor_proto.string_val[0].decode()
    assert protocol.arms["sgd"].winner.name in text and "lr = " in text


def test_the_losses_are_the_first_group_of_curves():
    assert min([*GROUPS, "metric", "mask", "outcome"]) == "loss"
