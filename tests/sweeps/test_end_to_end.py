"""Real sweeps through Ray, on one cluster that these tests share."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import inline_sweep
import optuna
import psutil
import pytest
import ray
from inline_sweep import grid_plan
from simulated import make_plan
from small_space import SHORT, space_text
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from trial_rows import rows, without_clocks
from typer.testing import CliRunner

import ire.sweeps.ray.data_on_nodes as data_on_nodes
from ire import open_experiment, sweep
from ire.invalid_input import InvalidInput
from ire.storage.storage import below, open_storage
from ire.sweeps.command.app import app
from ire.sweeps.plan.plan import RULES
from ire.sweeps.ray.cluster import check_shared
from ire.sweeps.records.open_home import home_at
from ire.sweeps.records.records import DIVERGED, FAILED, FINISHED, PRUNED, RUNNING, TIMING, read_records
from trainables.gang.trainable import GangTrainable, remove_abandoned_placement_groups
from trainables.task import load_task
from trainables.training.loop import train

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TINY = ["sweep", "digits", "--methods", "sgd,sgd-ire,sam-sgd", "--trials", "4", "--confirm-seeds", "2"]
TINY += ["--curve-horizons", "0.5", "--name", "tiny", "--max-concurrent", "1", "--space"]
"""A sweep of some 25 trials; the file of its space, which the fixture `space` writes, comes next."""


@pytest.fixture(scope="session")
def cluster(s3):
    """The address of a local cluster with two CPUs, whose workers have the credentials of `s3`."""
    context = ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    yield context.address_info["gcs_address"]
    ray.shutdown()


STARTED: list[subprocess.Popen] = []


def launch(*arguments: str) -> subprocess.Popen:
    """Start the command as in a terminal: heeding SIGINT, even if a script has started the tests in the background."""
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heed}; from ire.sweeps.command import main; main()", *arguments]
    STARTED.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    return STARTED[-1]


def called(*arguments: str) -> str:
    """What the command prints, called in this process, which imports nothing again and is on the cluster already."""
    before = signal.getsignal(signal.SIGINT)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert signal.getsignal(signal.SIGINT) is before, "Ctrl-C does what it did"
    return done.output


@pytest.fixture(autouse=True)
def ended():
    """A sweep that outlives its test would hold the cluster's processors, and every later test would wait for them."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def space(tmp_path_factory) -> str:
    """The file of a space of 48 steps."""
    path = tmp_path_factory.mktemp("space") / "short.toml"
    path.write_text(space_text(SHORT))
    return str(path)


@pytest.fixture(scope="session")
def swept(cluster, space, tmp_path_factory):
    """A finished sweep and what it printed."""
    storage = tmp_path_factory.mktemp("experiments")
    return storage / "tiny", called(*TINY, space, "--storage", str(storage))


def test_the_command_prints_the_table_and_where_everything_is(swept):
    folder, output = swept
    for word in (
        "sgd (baseline)",
        "sgd-ire",
        "verdict",
        "gradients spent",
        "settings",
        "trials done of at most",
    ):
        assert word in output or (word == "sgd (baseline)" and "sam-sgd (baseline)" in output)
    assert f"experiment   {folder}" in output
    assert f"ire tensorboard {folder}" in output
    assert (folder / "report" / "report.html").read_text().startswith("<!doctype html>")


def test_the_folder_holds_what_it_should_and_no_more(swept):
    folder, _ = swept
    assert {path.name for path in folder.iterdir()} >= {
        *("sweep.toml", "trials", "optuna.log", "trials.jsonl", "results.jsonl", "report"),
    }
    winners = {row.winner.name for row in open_experiment(folder).comparison.rows}
    kept = {path.parent.name for path in folder.rglob("*.pt")}
    assert kept == winners, "of the trials that ended, only winners keep their checkpoint"
    assert not (folder / "gangs").exists()


def test_every_method_had_the_same_budget_and_kept_to_it(swept):
    experiment = open_experiment(swept[0])
    search = experiment.trials[experiment.trials.stage == "search"]
    assert (search.groupby("method").size() <= 4).all()
    spent = search.groupby("method").gradient_evaluations.sum()
    assert set(spent.index) == {"sgd", "sgd-ire", "sam-sgd"}
    assert (spent <= experiment.plan.budget).all()
    assert (spent >= 48).all()
    assert experiment.is_complete


def test_a_later_trial_of_a_warm_gang_is_bitwise_the_trial_alone_in_a_process(swept):
    trials = list(read_records(swept[0]).trials.values())
    assert len(trials) > 10
    for trial in [*trials[:3], *trials[-6::3], *[t for t in trials if t.status == PRUNED][:2]]:
        alone = []
        train(trial.spec, lambda r, _, out=alone, end=trial.step: out.append(r) or r["step"] < end)
        assert [without_clocks(r) for r in alone] == [without_clocks(r) for r in trial.reports], trial.name


def test_the_journal_opens_with_optuna(swept):
    backend = optuna.storages.journal.JournalFileBackend(str(swept[0] / "optuna.log"))
    summaries = optuna.get_all_study_summaries(optuna.storages.JournalStorage(backend))
    records = read_records(swept[0]).trials.values()
    counts = {s.study_name.partition("/")[2]: s.n_trials for s in summaries}
    assert counts == {
        m: sum(t.method == m and t.stage == "search" for t in records) for m in ("sgd", "sgd-ire", "sam-sgd")
    }


def test_tensorboard_holds_every_trial_and_its_hparams_whatever_way_it_ended(swept):
    folder, _ = swept
    for trial in read_records(folder).trials.values():
        if trial.stage == TIMING:
            continue
        events = EventAccumulator(str(folder / "trials" / trial.name)).Reload()
        losses = events.Scalars("loss/val_loss")
        assert [e.step for e in losses] == [r["step"] for r in trial.reports]
        assert losses[-1].value == pytest.approx(trial.val_loss)
        assert {"optimizer/lr", "optimizer/grad_norm", "spent/steps_per_second"} <= set(
            events.Tags()["scalars"]
        )
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        started = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
        assert started.hparams["method"].string_value == trial.method
        assert started.hparams["lr"].number_value == trial.spec.settings["lr"]
        assert events.SummaryMetadata("_hparams_/session_end_info")
        if trial.method == "sgd-ire":
            assert "optimizer/kappa" in events.Tags()["scalars"]
            assert any(tag.startswith("mask/") for tag in events.Tags()["scalars"])
    root = EventAccumulator(str(folder / "trials")).Reload()
    assert "_hparams_/experiment" in root.summary_metadata


def test_interrupted_in_one_process_and_on_ray_it_equals_the_undisturbed_sweep(
    swept, cluster, space, tmp_path
):
    """Begun in one process, continued on Ray, finished in one process."""
    location = str(tmp_path / "tiny")
    begin = [*TINY, space, "--storage", str(tmp_path), "--inline"]
    for arguments, way in ((begin, "--inline "), (("resume", location, "--address", cluster), "")):
        process = launch(*arguments)
        disturb(process, signal.SIGINT, location)
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 130, output
        assert f"ire resume {way}{location}" in output
        assert not open_experiment(location).is_complete
    called("resume", location, "--inline")
    check_that_it_equals(swept[0], location, runs=3)


def test_killed_on_ray_and_resumed_from_an_object_store_it_equals_the_undisturbed_sweep(
    swept, cluster, space, s3
):
    """The machine that resumes has nothing but the URI."""
    location = below(s3, "tiny")
    process = launch(*TINY, space, "--storage", s3, "--address", cluster)
    disturb(process, signal.SIGKILL, location)
    process.wait()
    assert not open_experiment(location).is_complete
    called("resume", location)
    stored = check_that_it_equals(swept[0], location, runs=2)
    assert not [name for name in stored if name.endswith(".pkl")]


def disturb(process: subprocess.Popen, sent: int, location: str) -> None:
    """Send a signal after the end of two more trials."""
    before = ended_trials(location)
    wait_for(lambda: process.poll() is not None or ended_trials(location) > before + 2)
    assert process.poll() is None, process.communicate()[0]
    process.send_signal(sent)


def check_that_it_equals(undisturbed: Path, location: str, *, runs: int) -> list[str]:
    """Compare a finished sweep with another of the same plan; returns what is stored."""
    home = home_at(location)
    assert rows(home.folder) == rows(undisturbed)
    assert [run["slots"] for run in read_records(home.folder).runs] == [1] * runs
    stored = open_storage(location).names()
    assert "report/report.html" in stored
    assert any(name.startswith("trials/sgd-0000/events.out.tfevents") for name in stored)
    winners = {row.winner.name for row in open_experiment(location).comparison.rows}
    assert {name.split("/")[1] for name in stored if name.endswith(".pt")} == winners
    return stored


def ended_trials(location: str) -> int:
    try:
        home = home_at(location)  # a store's mirror lasts as long as its home
        records = read_records(home.folder)
    except InvalidInput:  # it has not begun
        return 0
    return sum(trial.status != RUNNING for trial in records.trials.values())


def processes(cluster: str) -> list[psutil.Process]:
    """The worker processes of this cluster, and of no other on this machine."""
    raylets = [
        p for p in psutil.process_iter(["cmdline"]) if f"--gcs-address={cluster}" in (p.info["cmdline"] or [])
    ]
    return [child for raylet in raylets for child in raylet.children()]


def wait_for(condition, seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_every_fault_is_survived_or_told_and_the_other_trials_are_untouched(cluster, tmp_path, monkeypatch):
    """Two workers a trial: an exception for lack of memory, a hung and a stopped worker, a dead actor, a NaN."""
    shutil.copy(Path(__file__).with_name("faulty_task.py"), tmp_path / "my_faults.py")
    (tmp_path / "faulty.toml").write_text(space_text(SHORT))
    monkeypatch.chdir(tmp_path)
    process = launch(
        *("sweep", "my_faults:Faulty", "--methods", "sgd", "--trials", "5", "--confirm-seeds", "1"),
        *("--name", "faults", "--storage", str(tmp_path), "--workers", "2", "--hang-seconds", "10"),
        *("--address", cluster),
    )
    results = tmp_path / "faults" / "results.jsonl"
    wait_for(lambda: results.exists() and results.read_text().count('"trial": "sgd-0003"') > 0)
    (actor,) = [p for p in processes(cluster) if p.name().startswith("ray::ResourceTr")]
    actor.kill()
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    experiment = open_experiment(tmp_path / "faults")
    ended = {trial.number: trial for trial in experiment.records.trials.values() if trial.stage == "search"}
    assert "can't allocate memory" in ended[0].error
    assert [ended[number].status for number in (0, 4)] == [FAILED, DIVERGED]
    kinds = {number: [fault.kind for fault in ended[number].faults] for number in range(1, 4)}
    assert kinds == {1: ["hang"], 2: ["hang"], 3: ["actor lost"]}
    assert "break_down" in ended[1].faults[0].cause, "the diagnosis says where it stands"
    assert "worker 1" in ended[1].faults[0].cause
    for number in range(1, 4):
        trial = ended[number]
        assert trial.status in (FINISHED, PRUNED), "it went on"
        steps = [r["step"] for r in trial.reports]
        assert steps == list(range(8, 8 * len(steps) + 1, 8)), "no report was lost or doubled"
        assert f"sgd-000{number}: {trial.faults[0].kind}" in output
    (confirmed,) = [t for t in experiment.records.trials.values() if t.stage == "confirm"]
    assert confirmed.status == FINISHED
    told = json.loads((experiment.folder / "report" / "report.json").read_text())
    assert told["methods"][0]["search_trials"]["failed"] == 1


def test_a_grid_that_shares_its_steps_through_ray_is_bitwise_the_one_in_a_process_without(cluster, tmp_path):
    plan = grid_plan(share_prefix=False, rules=RULES, data=load_task("digits").data_identity())
    before = set(ray.util.placement_group_table())
    (tmp_path / "alone").mkdir()
    inline_sweep.run(tmp_path / "alone", plan)
    (tmp_path / "grid.toml").write_text(plan.space.text)
    output = called(
        *("sweep", "digits", "--space", str(tmp_path / "grid.toml"), "--methods", "sgd,sgd-ire"),
        *("--controls", "--confirm-seeds", "2", "--no-curve", "--share-prefix", "--max-concurrent", "2"),
        *("--name", "shared", "--storage", str(tmp_path)),
    )
    assert "trained once" in output
    assert "shared prefixes" in output
    assert sorted(map(repr, rows(tmp_path / "shared"))) == sorted(map(repr, rows(tmp_path / "alone")))
    told = json.loads((tmp_path / "shared" / "report" / "report.json").read_text())
    assert [row["shared_gradient_evaluations"] for row in told["methods"]] == [0, 150]
    assert not list((tmp_path / "shared").glob("prefixes/*")), "of no use any more"
    occupied = set(ray.util.placement_group_table()) - before
    assert len(occupied) == 4, "two gangs, each with what Tune occupies for it, train all stages"


def test_a_function_that_no_file_holds_is_trained_by_the_workers_of_a_cluster(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("ire.sweeps.experiments.experiment.write_report", lambda *_: None)
    floor = 0.5

    def train(trial):
        loss = floor + abs(trial.settings["lr"] - 0.1)
        trial.report(trial.horizon, train_loss=loss, val_loss=loss)

    arm = {"role": "baseline", "lr": {"log": [0.01, 1.0], "published": 0.1}}
    space = {
        **{"horizon": 2, "eval_interval": 2, "arms": {"only": arm}},
        **{"search": {"trials": 3, "rungs": []}, "confirm": {"seeds": 1, "studies": 1}},
    }
    given = {"confirm_seeds": 0, "max_concurrent": 1, "storage": tmp_path, "name": "own"}
    experiment = sweep(train, space=space, address=cluster, **given)
    assert experiment.is_complete, experiment.broken_off
    assert min(t.val_loss for t in experiment.records.trials.values()) == floor


OTHER_SWEEP = """
import sys
import ray

@ray.remote(num_cpus=0)
class Controller:
    def __init__(self):
        self.group = ray.util.placement_group([{"CPU": 0.25}])
        ray.get(self.group.ready())
    def ready(self):
        pass

ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
controller = Controller.remote()
ray.get(controller.ready.remote())
ray.kill(controller)
print("occupied", flush=True)
sys.stdin.read()
"""


def test_what_a_gang_occupied_that_died_while_it_started_is_freed_and_nothing_else(cluster, tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER_SWEEP, cluster], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "occupied\n"
    mine = ray.util.placement_group([{"CPU": 0.25}])
    gang = {"workers": 1, "cpus_per_worker": 1, "gpus_per_worker": 0, "storage": str(tmp_path)}
    config = {
        "job": {"hang_seconds": 600.0},
        "gang": gang | {"import_path": [], "sources": None, "data_dir": None},
    }
    before = groups()
    actor = ray.remote(num_cpus=0)(GangTrainable).remote(config)
    wait_for(lambda: groups() - before)
    (occupied,) = groups() - before
    remove_abandoned_placement_groups()
    assert groups() == before | {occupied}, "it lives"
    ray.kill(actor)

    def is_free():
        remove_abandoned_placement_groups()
        return occupied not in groups()

    wait_for(is_free, seconds=30)
    assert groups() == before, "another job's and the driver's own are not touched"
    ray.util.remove_placement_group(mine)
    other.communicate()


def groups() -> set[str]:
    """The placement groups of the cluster that wait for room or have it."""
    table = ray.util.placement_group_table()
    return {name for name, group in table.items() if group["state"] != "REMOVED"}


def test_a_node_is_asked_which_data_it_holds(cluster, monkeypatch):
    (node,) = ray.nodes()
    monkeypatch.setattr(data_on_nodes, "machines", lambda plan: (False, {node["NodeID"]: "node-7"}))
    assert data_on_nodes.data_on_nodes(make_plan()) == load_task("digits").data_identity()
    with pytest.raises(
        InvalidInput, match=r"wikitext2 cannot be trained on .*: run `ire data prepare wikitext2"
    ):
        data_on_nodes.data_on_nodes(make_plan(task="wikitext2", data_dir=str(Path(__file__).parent)))


def test_a_store_that_a_node_cannot_read_is_told_before_anything_starts(cluster, s3, monkeypatch):
    location = below(s3, "seen")
    check_shared(location)
    assert not open_storage(location).names(), "the look leaves nothing behind"

    def denied(location, probe):
        return "node-7: AWS Error ACCESS_DENIED"

    def silent(location, probe):
        time.sleep(60)

    monkeypatch.setattr("ire.sweeps.ray.cluster._unreadable", denied)
    with pytest.raises(InvalidInput, match=r"cannot be read .*node-7: .*every node needs the credentials"):
        check_shared(location)
    monkeypatch.setattr("ire.sweeps.ray.cluster._unreadable", silent)
    monkeypatch.setattr("ire.sweeps.ray.cluster.ANSWER_SECONDS", 3.0)
    with pytest.raises(InvalidInput, match="no answer within 3 s"):
        check_shared(location)
    assert not open_storage(location).names()
