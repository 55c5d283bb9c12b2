"""What the driver does when something breaks, without a cluster: disks, storages, actors, and trials that die again."""

import errno
import shutil

import pytest
from simulated import make_plan, reports_of, simulate, table

import ire.storage.storage
import ire.sweeps.records.records
from ire import open_experiment
from ire.invalid_input import InvalidInput
from ire.sweeps.ray.disk import check_room, checkpoint_bytes, megabytes, room_needed
from ire.sweeps.ray.tune_run import Interrupted, TuneRun
from ire.sweeps.records.experiment_home import FolderHome
from ire.sweeps.records.records import FAILED, RUNNING, read_records
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.console import plain_console
from ire.sweeps.watch.progress import Progress
from ire.sweeps.watch.watcher import Watcher
from ire.trial.message import Message, StorageTrouble, Trouble
from trainables.task import load_task
from trainables.training.checkpoint import KEPT, load_checkpoint, save_checkpoint
from trainables.training.training import Training


class Told(Watcher):
    """Keeps what people were told."""

    def __init__(self):
        self.texts = []

    def noticed(self, text):
        self.texts.append(text)


@pytest.fixture
def run(tmp_path):
    """A sweep of one method on one slot whose first trial has started, and what it tells."""
    return new_run(tmp_path / "sweep")


def new_run(folder, **fields):
    fields = {"methods": ("sgd",), "trials": 3, "confirm_seeds": 1, "curve": ()} | fields
    plan = make_plan(**fields)
    folder.mkdir(exist_ok=True)
    (folder / "sweep.toml").write_text(plan.to_toml())
    told = Told()
    tune = TuneRun(Protocol(plan, folder), FolderHome(folder), slots=lambda: 1, watchers=[told])
    job = tune.next_job()["job"]
    return tune, job, told


def messages(trial):
    for report in reports_of(trial):
        yield Message(reports=(report,), flat_fractions=({},))


def first_trial(tune):
    return next(iter(tune.protocol.records.trials.values()))


def finish(tune):
    """Run what is left as the cluster would."""
    running = tune.protocol.running
    while True:
        for trial in running:
            for message in messages(trial):
                if not tune.message(trial.name, message):
                    break
        job = tune.next_job()
        if not isinstance(job, dict):
            assert tune.protocol.is_over
            return
        running = [tune.protocol.records.trials[job["job"]["spec"]["name"]]]


def test_a_disk_that_fills_up_breaks_the_run_off_in_order_and_a_resume_goes_on(tmp_path, monkeypatch):
    whole = table(
        simulate(make_plan(methods=("sgd",), trials=3, confirm_seeds=1, curve=()), _folder(tmp_path, "whole"))
    )
    tune, _, _ = new_run(tmp_path / "sweep")
    trial = first_trial(tune)
    stream = messages(trial)
    assert tune.message(trial.name, next(stream))
    append = ire.sweeps.records.records.append_line

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ire.sweeps.records.records, "append_line", full)
    assert tune.message(trial.name, next(stream)), "the trial is not ended by it"
    assert "No space left on device" in tune.cannot_go_on
    assert Interrupted(tune).stop_all()
    monkeypatch.setattr(ire.sweeps.records.records, "append_line", append)
    assert tune.message(trial.name, next(stream))
    assert tune.next_job() is None
    assert [len(t.reports) for t in read_records(tmp_path / "sweep").trials.values()] == [1], (
        "nothing after it"
    )
    assert table(simulate(tune.protocol.plan, tmp_path / "sweep")) == whole


def test_a_watcher_that_finds_the_disk_full_at_the_end_keeps_no_other_from_closing(run):
    tune, _, _ = run
    closed = []

    class Full(Watcher):
        def closed(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    class Closes(Watcher):
        def closed(self):
            closed.append(self)

    tune.watchers = [Full(), Closes(), Full(), Closes()]
    tune.close()
    assert closed == tune.watchers[1::2]
    assert "No space left on device" in tune.cannot_go_on


def _folder(tmp_path, name):
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_a_progress_that_was_never_opened_hides_no_error_of_another_watcher():
    Progress(plain_console()).closed()


def test_a_storage_that_is_away_for_a_while_is_waited_for_and_nothing_is_lost_or_doubled(run, monkeypatch):
    tune, _, _ = run
    trial = first_trial(tune)
    append, failures = (
        ire.sweeps.records.records.append_line,
        [OSError(errno.EIO, "away"), OSError(errno.ESTALE, "stale")],
    )

    def away(*arguments):
        if failures:
            raise failures.pop()
        append(*arguments)

    slept = []
    monkeypatch.setattr(ire.storage.storage.time, "sleep", slept.append)
    monkeypatch.setattr(ire.sweeps.records.records, "append_line", away)
    finish(tune)
    assert tune.cannot_go_on is None
    assert slept == [0.5, 1.0]
    steps = [
        r["step"] for r in read_records(tune.protocol.records._trials_file.parent).trials[trial.name].reports
    ]
    assert steps == list(range(8, 8 * len(steps) + 1, 8))


def test_a_storage_that_stays_away_breaks_the_run_off(run, monkeypatch):
    tune, _, _ = run
    monkeypatch.setattr(ire.storage.storage, "PATIENCE", 0.0)

    def away(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(ire.sweeps.records.records, "append_line", away)
    trial = first_trial(tune)
    assert tune.message(trial.name, next(messages(trial)))
    assert "cannot be written to: [Errno 5] Input/output error" in tune.cannot_go_on


@pytest.mark.parametrize("full", [True, False])
def test_a_checkpoint_that_cannot_be_written_is_told_and_breaks_off_only_if_the_disk_is_full(run, full):
    tune, _, told = run
    trial = first_trial(tune)
    assert tune.message(
        trial.name, Message(storage_trouble=StorageTrouble(cause="[Errno 28] no", is_full=full))
    )
    if full:
        assert f"the storage is full: a checkpoint of {trial.name}" in tune.cannot_go_on
    else:
        assert tune.cannot_go_on is None
        assert [fault.kind for fault in trial.faults] == ["storage"]
        assert "the trial continues" in told.texts[-1]


def test_a_trial_that_dies_too_often_is_given_up_and_the_others_go_on(run):
    tune, _, told = run
    trial = first_trial(tune)
    fault = Message(trouble=Trouble(kind="workers lost", cause="killed"))
    assert [tune.message(trial.name, fault) for _ in range(3)] == [True, True, False]
    assert trial.status == FAILED
    assert trial.error == "it was interrupted 3 times, most recently by: workers lost: killed"
    assert told.texts[-1].startswith("sgd-0000: workers lost; given up")
    finish(tune)
    folder = tune.protocol.records._trials_file.parent
    experiment = open_experiment(folder)
    assert [f["status"] for f in _faults(experiment)] == [FAILED] * 3
    assert experiment.comparison.rows[0].statuses[FAILED] == 1


def _faults(experiment):
    from ire.sweeps.report.facts.sweep import as_json

    return as_json(experiment)["faults"]


def test_a_trial_whose_actor_dies_is_handed_out_again_with_its_checkpoint(run):
    tune, job, told = run
    trial = first_trial(tune)
    assert tune.message(trial.name, next(messages(trial)))
    tune.lost(trial.name, "its process or its node has died")
    assert tune.protocol.running == []
    assert not tune.protocol.is_over
    assert tune.next_job()["job"] == job, "the same trial, next"
    assert tune.protocol.running == [trial]
    assert "actor lost; it continues from its checkpoint" in told.texts[-1]
    finish(tune)


def test_what_a_gang_waits_for_is_told(run):
    tune, _, told = run
    trial = first_trial(tune)
    assert tune.message(trial.name, Message(notice="no worker has started for 120 s"))
    assert told.texts == ["sgd-0000: no worker has started for 120 s"]
    assert trial.status == RUNNING


def test_checkpoints_of_pruned_trials_go_and_those_of_the_best_stay(tmp_path):
    tune, _, _ = new_run(tmp_path / "sweep", trials=6, candidates=2)
    kept = []
    while True:
        trial = tune.protocol.running[0]
        for message in messages(trial):
            save_checkpoint({"step": message.reports[0]["step"]}, tune.where(trial)["checkpoint"])
            if not tune.message(trial.name, message):
                break
        kept.append(sorted(path.name for path in (tmp_path / "sweep" / "checkpoints").iterdir()))
        if not isinstance(tune.next_job(), dict):
            break
    assert max(map(len, kept)) == 2, "never more than the candidates"
    assert kept[-1] == [tune.protocol.arms["sgd"].winner.name]
    assert load_checkpoint(tmp_path / "sweep" / "checkpoints" / kept[-1][0])["step"] == 240


def test_the_room_that_checkpoints_need_is_known_and_checked_before_the_start(tmp_path, monkeypatch):
    plan, task = make_plan(methods=("sgd", "adamw-ire")), load_task("digits")
    room = room_needed(plan, task, slots=2)
    assert (
        f"checkpoints of {megabytes(checkpoint_bytes(plan, task))} x (3 x 2 live trials + 2 x 2 candidates)"
        in room.arithmetic
    )
    assert check_room(room, str(tmp_path / "not" / "there")).endswith(" free")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        "ire.sweeps.ray.disk.shutil.disk_usage", lambda _: usage._replace(free=room.needed - 1)
    )
    with pytest.raises(InvalidInput, match="make room, choose another --storage, or lower --max-concurrent"):
        check_room(room, str(tmp_path / "not" / "there"))


def test_what_a_resumed_sweep_has_there_already_it_need_not_find_room_for(tmp_path, monkeypatch):
    room = room_needed(make_plan(methods=("sgd", "adamw-ire")), load_task("digits"), slots=2)
    for name in ("checkpoints/sgd-0000/1.pt", "prefixes/x/1.pt", "results.jsonl", "report/report.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(1000))
    usage = shutil.disk_usage(tmp_path)
    for free, fits in ((room.needed - 3000, True), (room.needed - 3001, False)):
        monkeypatch.setattr(
            "ire.sweeps.ray.disk.shutil.disk_usage", lambda _, free=free: usage._replace(free=free)
        )
        if fits:
            assert "; 3.0 kB of it are used already; " in check_room(room, str(tmp_path))
        else:
            with pytest.raises(InvalidInput, match="make room"):
                check_room(room, str(tmp_path))


def test_room_is_kept_for_every_candidate_until_the_winner_is_chosen():
    task, size = load_task("digits"), checkpoint_bytes(make_plan(methods=("sgd",)), load_task("digits"))
    one, three = (
        room_needed(make_plan(methods=("sgd",), candidates=candidates), task, slots=1)
        for candidates in (1, 3)
    )
    assert three.needed - one.needed == 2 * KEPT * size


@pytest.mark.parametrize("method", ["sgd", "adamw-ire"])
def test_the_size_of_a_checkpoint_is_foreseen(make_spec_of_digits, method, tmp_path):
    training = make_spec_of_digits(method)
    save_checkpoint(training.state_dict(), tmp_path)
    (path,) = tmp_path.iterdir()
    foreseen = checkpoint_bytes(make_plan(methods=(method,)), load_task("digits"))
    assert foreseen == pytest.approx(path.stat().st_size, rel=0.3)


@pytest.fixture
def make_spec_of_digits():
    """A training of a method that has taken some steps."""
    import torch

    from ire.methods.method import parse_method
    from ire.trial.spec import TrialSpec
    from search_spaces import find_space

    def make(name):
        method, space = parse_method(name), find_space("digits")
        settings = method.resolve(space.published(method) | ({"start_fraction": 0.0} if method.ire else {}))
        spec = TrialSpec(task="digits", method=name, settings=settings, seed=0, horizon=24, eval_interval=8)
        training = Training(load_task("digits"), spec, device=torch.device("cpu"))
        for _ in range(8):
            training.advance()
        training.report()
        return training

    return make
