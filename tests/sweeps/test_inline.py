"""A sweep in this process: without Ray, with the records of any other sweep, ended and resumed like one."""

import bdb
import signal
import sys
from dataclasses import replace

import pytest
from inline_sweep import run, small_plan
from simulated import make_plan
from small_space import SHORT, space_text, space_with
from trial_rows import rows

import ire.sweeps.running.inline as inline
from ire import resume, sweep
from ire.invalid_input import InvalidInput
from ire.methods.ire import UNMASKED
from ire.sweeps.ray.interruption import terminate_like_interrupt
from ire.sweeps.records.experiment_home import FolderHome
from ire.sweeps.records.records import CONFIRM, CONTROL, FAILED, FINISHED, RUNNING, read_records
from ire.sweeps.search.protocol import Protocol
from trainables.training.training import Training


@pytest.fixture
def no_ray(monkeypatch):
    """A machine where Ray is not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)


@pytest.fixture
def call(tmp_path, no_ray):
    """Starts a small sweep in this process, as a user does."""
    (tmp_path / "short.toml").write_text(space_text(SHORT))

    def start(**options):
        given = {"methods": ["sgd", "adamw"], "trials": 2, "confirm_seeds": 0, "curve": False}
        given |= {"name": "small", "space": tmp_path / "short.toml", "storage": tmp_path, "studies": 1}
        return sweep("digits", **given | {"inline": True} | options)

    return start


def disturb(monkeypatch, act, *, after: int) -> None:
    """Call `act` in the trial that would take a step after so many steps of all trials."""
    advance, left = Training.advance, [after]

    def disturbed(training):
        left[0] -= 1
        if not left[0]:
            act()
        advance(training)

    monkeypatch.setattr(Training, "advance", disturbed)


def test_the_last_mask_of_what_is_compared_is_recorded_by_tensor(tmp_path):
    plan = make_plan(
        methods=("sgd-ire",), trials=2, confirm_seeds=1, curve=(), controls=True, space=space_with(SHORT)
    )
    written, read = run(tmp_path, plan).records.trials, read_records(tmp_path).trials
    assert {name: t.flat_fractions for name, t in read.items()} == {
        name: t.flat_fractions for name, t in written.items()
    }
    with_mask = [trial for trial in read.values() if trial.flat_fractions]
    assert {trial.stage for trial in with_mask} == {CONFIRM, CONTROL}
    assert len([trial for trial in with_mask if trial.stage == CONFIRM]) == 1
    for trial in with_mask:
        sizes = {name: fraction.coordinates for name, fraction in trial.flat_fractions.items()}
        assert sizes["0.weight"] == 16 * 9 and len(sizes) == 8
        marked = sum(share * size for share, size in trial.flat_fractions.values())
        assert marked / sum(sizes.values()) == pytest.approx(trial.reports[-1]["flat_fraction"])
    everywhere = [trial for trial in with_mask if trial.variant in UNMASKED]
    assert (
        all(share == 1 for trial in everywhere for share, _ in trial.flat_fractions.values()) and everywhere
    )


def raising(error: type[BaseException]):
    def act():
        raise error

    return act


def test_it_needs_no_ray_and_leaves_everything_that_a_sweep_leaves(call, capsys):
    experiment = call()
    assert experiment.is_complete
    assert experiment.broken_off is None
    assert "one trial at a time, in this process" in capsys.readouterr().out
    names = {path.name for path in experiment.folder.iterdir()}
    assert names >= {"sweep.toml", "trials", "optuna.log", "trials.jsonl", "results.jsonl", "report"}
    assert list((experiment.folder / "trials" / "adamw-0000").glob("events.out.tfevents*"))


def test_without_it_a_machine_that_has_no_ray_is_told_of_it(call, tmp_path):
    with pytest.raises(
        InvalidInput, match=r"needs the package 'ray', .*pip install 'ire\[sweep\]'; a sweep with --inline"
    ):
        call(inline=False)
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(
    "act",
    [
        raising(KeyboardInterrupt),
        raising(bdb.BdbQuit),
        lambda: signal.raise_signal(signal.SIGTERM),
        lambda: signal.raise_signal(signal.SIGHUP),
    ],
    ids=["Ctrl-C", "quit in the debugger", "SIGTERM", "the terminal closes"],
)
def test_ended_from_outside_it_leaves_a_trial_running_and_is_resumed(call, monkeypatch, act):
    monkeypatch.setattr("ire.sweeps.experiments.experiment.write_report", lambda *_: None)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup pytest` ignores it
    try:
        with monkeypatch.context() as patched:
            disturb(patched, act, after=60)
            experiment = call()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not experiment.is_complete
    assert experiment.broken_off is None
    assert [t.status for t in read_records(experiment.folder).trials.values()].count(RUNNING) == 1
    assert resume(experiment.folder, inline=True).is_complete


def test_a_folder_that_is_moved_during_the_sweep_is_called_gone_and_gets_no_report(
    call, monkeypatch, tmp_path
):
    with monkeypatch.context() as patched:
        disturb(patched, lambda: (tmp_path / "small").rename(tmp_path / "moved"), after=60)
        experiment = call()
    assert experiment.broken_off.endswith("small is gone: it was moved or deleted while the sweep ran")
    assert not (tmp_path / "small" / "report").exists()
    assert resume(tmp_path / "moved", inline=True).is_complete


def test_sigterm_ends_a_sweep_that_a_script_has_started_in_the_background():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), terminate_like_interrupt(lambda: None):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)


def test_where_a_closing_terminal_is_ignored_it_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminate_like_interrupt(lambda: None):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_interrupted_and_resumed_it_equals_the_undisturbed_sweep(tmp_path, monkeypatch):
    for name in ("whole", "begun"):
        (tmp_path / name).mkdir()
    plan = replace(small_plan(), confirm_seeds=0)
    run(tmp_path / "whole", plan)
    for steps in (30, 70, 90):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            disturb(patched, raising(KeyboardInterrupt), after=steps)
            run(tmp_path / "begun", plan)
    run(tmp_path / "begun", plan)
    assert rows(tmp_path / "begun") == rows(tmp_path / "whole")


def test_a_trial_that_raises_fails_alone(tmp_path, monkeypatch):
    advance = Training.advance

    def failing(training):
        if training.spec.name == "adamw-0001":
            sys.exit("no more of this")
        advance(training)

    monkeypatch.setattr(Training, "advance", failing)
    run(tmp_path, replace(small_plan(), confirm_seeds=0))
    ended = read_records(tmp_path).trials
    assert ended["adamw-0001"].status == FAILED
    assert "task 'digits' called sys.exit('no more of this'); raise an exception" in ended["adamw-0001"].error
    assert ended["adamw-0000"].status == FINISHED
    assert {trial.status for trial in ended.values()} >= {FINISHED, FAILED}


def test_a_trial_out_of_memory_fails_with_advice(tmp_path, monkeypatch):
    def failing(training):
        raise MemoryError

    monkeypatch.setattr(Training, "advance", failing)
    run(tmp_path, replace(small_plan(), methods=("adamw",), trials=2, confirm_seeds=0))
    assert (
        read_records(tmp_path).trials["adamw-0000"].error.startswith("out of memory with --micro-batches 1")
    )


def test_a_full_disk_breaks_it_off_and_a_resume_goes_on(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:

        def full(*_):
            raise OSError(28, "No space left on device")

        patched.setattr("trainables.training.loop.save_checkpoint", full)
        protocol = Protocol(replace(small_plan(), confirm_seeds=0, checkpoint_seconds=0.0), tmp_path)
        broken = inline.InlineRun(protocol, FolderHome(tmp_path), watchers=[])
        broken.run()
    assert "the storage is full" in broken.cannot_go_on
    assert [t.status for t in read_records(tmp_path).trials.values()] == [RUNNING]
    run(tmp_path, replace(small_plan(), confirm_seeds=0))


def test_the_callers_threads_are_as_before(tmp_path):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        run(tmp_path, replace(small_plan(), methods=("adamw",), trials=2, confirm_seeds=0))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 2}, "--inline --workers 2: one process is one worker; without --inline"),
        ({"address": "auto"}, "--inline --address auto: give only one of them"),
        ({"gpus_per_worker": 1}, "--inline --gpus-per-worker 1: this process sees no GPU"),
    ],
)
def test_what_one_process_cannot_do_is_refused_before_anything_is_written(
    call, tmp_path, monkeypatch, options, message
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InvalidInput) as error:
        call(**options)
    assert str(error.value).startswith(message)
    assert not (tmp_path / "small").exists()


def test_a_sweep_of_several_workers_is_not_resumed_in_one_process(tmp_path, no_ray):
    plan = replace(small_plan(), workers=2)
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    (tmp_path / "trials.jsonl").touch()
    with pytest.raises(InvalidInput, match="--inline --workers 2"):
        resume(tmp_path, inline=True)
