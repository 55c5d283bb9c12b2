"""Experiments in folders and object stores: locks, segments, and a resume on a machine whose disk is empty."""

import errno
import json
import random
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from simulated import Killed, make_plan, simulate, table

import ire.sweeps.experiments.launch
import ire.sweeps.records.experiment_lock
import ire.sweeps.records.store_home
from ire import open_experiment
from ire.invalid_input import InvalidInput
from ire.storage.storage import ObjectStore, below, open_storage
from ire.sweeps.plan.changes import extended
from ire.sweeps.ray.tune_run import TuneRun
from ire.sweeps.records.experiment_home import FolderHome
from ire.sweeps.records.experiment_lock import LockLost, since_boot
from ire.sweeps.records.open_home import home_at, new_home
from ire.sweeps.records.records import read_records
from ire.sweeps.records.store_home import FAN_IN, StoreHome
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.publisher import Publisher
from ire.trial.message import Message, Trouble
from trainables.training.checkpoint import load_checkpoint, save_checkpoint


def start(location: str, plan) -> StoreHome:
    home = StoreHome(location)
    (home.folder / "sweep.toml").write_text(plan.to_toml())
    with home.locked():
        home.publish()
    return home


def test_an_object_store_holds_what_a_folder_does(s3):
    storage = open_storage(below(s3, "plain"))
    storage.write("a/b.txt", b"one")
    storage.write("a/b.txt", b"two")
    storage.write("a/c/d.txt", b"three")
    assert storage.names() == ["a/b.txt", "a/c/d.txt"]
    assert storage.read("a/b.txt") == b"two"
    storage.delete("a")
    assert storage.names() == []
    with pytest.raises(FileNotFoundError):
        storage.read("a/b.txt")


def test_checkpoints_live_in_an_object_store(s3, tmp_path):
    location = below(s3, "checkpoints", "trial")
    assert load_checkpoint(location) is None
    for step in (1, 2, 3):
        save_checkpoint({"step": step}, location)
    latest = open_storage(location).names()[-1]
    open_storage(location).write(latest, b"damaged")
    assert load_checkpoint(location)["step"] == 2


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_killed_and_resumed_where_the_disk_is_empty_it_equals_the_undisturbed_sweep(s3, tmp_path, seed):
    plan = make_plan(trials=3, confirm_seeds=1, curve=(), methods=("sgd", "sgd-ire"))
    whole = table(simulate(plan, tmp_path))
    location = below(s3, f"killed-{seed}")
    home = start(location, plan)
    draws = random.Random(seed)
    kills = 0
    while True:
        try:
            with home.locked():
                simulate(plan, home.folder, kill_after=draws.randrange(1, 60), publish=home.publish_records)
            break
        except Killed:
            kills += 1
            shutil.rmtree(
                home.folder
            )  # reports since the last event are lost with the machine; their trial is not
            home = home_at(location)
    assert kills > 1
    assert table(SimpleNamespace(records=read_records(home_at(location).folder))) == whole


def test_segments_are_merged_so_that_there_are_never_many(s3, monkeypatch):
    fan_in = 4  # three levels of merges with few segments
    monkeypatch.setattr(ire.sweeps.records.store_home, "FAN_IN", fan_in)
    home = start(below(s3, "merged"), make_plan())
    lines = [f'{{"line": {number}}}\n' for number in range(fan_in**3 + 3 * fan_in // 2)]
    with home.locked():
        for line in lines:
            with (home.folder / "trials.jsonl").open("a") as file:
                file.write(line)
            home.publish_records()
    names = open_storage(home.location).names("trials.jsonl")
    assert len(names) <= 3 * fan_in + 3
    assert (home_at(home.location).folder / "trials.jsonl").read_text() == "".join(lines)


def test_a_kill_between_a_merge_and_its_clean_up_harms_nothing_and_a_gap_is_told(s3):
    home = start(below(s3, "gap"), make_plan())
    store = open_storage(home.location)
    store.write("trials.jsonl/000000000000000-000000000000003.jsonl", b"{}\n")
    store.write("trials.jsonl/000000000000003-000000000000006.jsonl", b"{}\n")
    store.write("trials.jsonl/000000000000000-000000000000006.jsonl", b"{}\n{}\n")
    assert (home_at(home.location).folder / "trials.jsonl").read_bytes() == b"{}\n{}\n"
    store.write("trials.jsonl/000000000000003-000000000000009.jsonl", b"{}\n{}\n")
    assert (home_at(home.location).folder / "trials.jsonl").read_bytes() == b"{}\n{}\n{}\n", (
        "an overlap is no gap"
    )
    store.delete("trials.jsonl/000000000000003-000000000000009.jsonl")
    store.write("trials.jsonl/000000000000009-000000000000012.jsonl", b"{}\n")
    with pytest.raises(InvalidInput, match="lacks the bytes from 6 to 9"):
        home_at(home.location)


def test_a_reader_is_not_led_astray_by_segments_that_are_merged_while_it_reads(s3, monkeypatch):
    home = start(below(s3, "read"), make_plan())
    store = open_storage(home.location)
    store.write("trials.jsonl/000000000000000-000000000000003.jsonl", b"{}\n")
    store.write("trials.jsonl/000000000000003-000000000000006.jsonl", b"{}\n")
    listed = store.names()
    store.write("trials.jsonl/000000000000000-000000000000006.jsonl", b"{}\n{}\n")
    for name in listed:
        if name.startswith("trials.jsonl"):
            store.delete(name)
    answers = [listed]
    names = ObjectStore.names
    monkeypatch.setattr(
        ObjectStore, "names", lambda self, folder="": answers.pop() if answers else names(self, folder)
    )
    assert (home_at(home.location).folder / "trials.jsonl").read_bytes() == b"{}\n{}\n"


def test_status_and_report_work_on_a_uri(s3):
    plan = make_plan(trials=2, confirm_seeds=2, curve=(), methods=("sgd", "sgd-ire"))
    home = start(below(s3, "reported"), plan)
    with home.locked():
        simulate(plan, home.folder, publish=home.publish_records)
    experiment = open_experiment(home.location)
    assert experiment.is_complete
    assert experiment.location == home.location
    experiment.report()
    assert {"report/report.html", "report/report.json", "report/report.md"} <= set(
        open_storage(home.location).names()
    )


HOLD = """
import sys
from ire.sweeps.records.open_home import home_at
with home_at(sys.argv[1]).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["folder", "store"])
def experiment(request, tmp_path):
    """The location of an empty experiment."""
    plan = make_plan()
    if request.param == "store":
        return start(below(request.getfixturevalue("s3"), "locked"), plan).location
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    return str(tmp_path)


def test_a_second_process_is_refused_by_name_until_the_first_is_dead(experiment):
    command = [sys.executable, "-c", HOLD, experiment]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout.readline() == "locked\n"
    with (
        pytest.raises(InvalidInput, match=f"in use by process {owner.pid} on "),
        home_at(experiment).locked(),
    ):
        pass
    owner.kill()
    owner.communicate()
    with home_at(experiment).locked():
        pass
    with home_at(experiment).locked():
        pass


def test_a_lease_of_another_machine_lasts_until_it_is_not_renewed(s3, monkeypatch):
    home = start(below(s3, "leased"), make_plan())
    lease = {"host": "elsewhere", "pid": 1, "lease": "x", "renewed": 0}  # by a clock that is wrong by years
    open_storage(home.location).write("lock.json", json.dumps(lease).encode())
    with pytest.raises(InvalidInput, match="process 1 on elsewhere"), home.locked():
        pass
    assert open_storage(home.location).names() == ["lock.json", "sweep.toml"], "no probe stays"
    monkeypatch.setattr(ire.sweeps.records.experiment_lock, "LEASE_SECONDS", 0.5)
    time.sleep(2)  # a store's clock may count whole seconds
    with home.locked():
        assert json.loads(open_storage(home.location).read("lock.json"))["host"] != "elsewhere"
    assert "lock.json" not in open_storage(home.location).names()


def test_a_lock_of_which_only_half_can_be_read_is_as_one_that_is_away(s3):
    home = start(below(s3, "half"), make_plan())
    with home.locked():
        store = open_storage(home.location)
        whole = store.read("lock.json")
        store.write("lock.json", whole[:5])
        with pytest.raises(OSError, match="cannot be read"):
            home._lease._renew()
        store.write("lock.json", whole)
        home._lease._renew()


def take_over(home):
    """Another machine has the experiment now, since this one had fallen silent for too long."""
    lease = {
        "host": "elsewhere",
        "pid": 1,
        "lease": "x",
        "renewed": ire.sweeps.records.experiment_lock.time.time(),
    }
    open_storage(home.location).write("lock.json", json.dumps(lease).encode())


def append(home, line):
    with (home.folder / "results.jsonl").open("a") as file:
        file.write(f"{line}\n")


def test_a_run_whose_lease_is_another_ones_writes_nothing_more(s3, monkeypatch):
    home = start(below(s3, "fenced"), make_plan())
    store = open_storage(home.location)
    monkeypatch.setattr(ire.sweeps.records.experiment_lock, "LEASE_SECONDS", 0.4)
    with home.locked():
        append(home, "{}")
        home.publish_records()
        stored = store.names()
        with pytest.raises(LockLost):
            for _ in range(100):  # a renewal may be under way
                take_over(home)
                time.sleep(0.2)
                home.publish_outputs()  # of which there are none yet
        append(home, '{"late": 1}')
        (home.folder / "report").mkdir()
        (home.folder / "report" / "report.md").write_text("late")
        for publish in (home.publish_records, home.publish, home.publish_outputs):
            with pytest.raises(LockLost, match="process 1 on elsewhere has taken it over"):
                publish()
    assert store.names() == stored
    assert json.loads(store.read("lock.json"))["host"] == "elsewhere", (
        "nor does it give away what is not its own"
    )


def test_a_sweep_whose_lease_is_lost_is_broken_off_in_order(s3, monkeypatch):
    plan = make_plan(methods=("sgd",), trials=3, confirm_seeds=1, curve=())
    home = start(below(s3, "taken-over"), plan)
    now = since_boot()
    with home.locked():
        protocol = Protocol(plan, home.folder, publish=home.publish_records)
        tune = TuneRun(protocol, home, slots=lambda: 1, watchers=[Publisher(home)])
        name = tune.next_job()["job"]["spec"]["name"]
        stored = open_storage(home.location).names()
        take_over(home)
        monkeypatch.setattr(
            ire.sweeps.records.experiment_lock,
            "since_boot",
            lambda: now + ire.sweeps.records.experiment_lock.LEASE_SECONDS,
        )  # it was stopped
        tune.message(name, Message(trouble=Trouble(kind="hang", cause="-")))
    assert "process 1 on elsewhere has taken it over" in tune.cannot_go_on
    assert open_storage(home.location).names() == stored


def test_of_two_that_take_a_lease_at_once_the_store_refuses_one(s3, monkeypatch):
    home = start(below(s3, "at-once-conditional"), make_plan())
    read = home._lease._read

    def late():
        """Another one comes between the look and the write."""
        owner = read()
        if owner is None:
            take_over(home)
        return owner

    monkeypatch.setattr(home._lease, "_read", late)
    monkeypatch.setattr(ire.sweeps.records.experiment_lock.time, "sleep", lambda _: pytest.fail("no need"))
    with pytest.raises(InvalidInput, match="in use by process 1 on elsewhere"), home.locked():
        pass
    assert json.loads(open_storage(home.location).read("lock.json"))["host"] == "elsewhere"


def test_of_two_that_take_a_lease_at_once_one_has_it(s3, monkeypatch):
    home = start(below(s3, "at-once"), make_plan())
    monkeypatch.setattr(home._store, "create", lambda *_: None)  # a store that knows no conditions
    monkeypatch.setattr(ire.sweeps.records.experiment_lock.time, "sleep", lambda _: take_over(home))
    with pytest.raises(InvalidInput, match="in use by process 1 on elsewhere"), home.locked():
        pass


def test_who_only_looks_publishes_reports_and_leaves_the_records_of_the_owner_alone(s3):
    home = start(below(s3, "looked-at"), make_plan())
    with home.locked():
        for number in range(FAN_IN - 1):
            append(home, number)
            home.publish_records()
        looking = home_at(home.location)
        append(looking, "not the reader's to publish")
        (looking.folder / "report").mkdir()
        (looking.folder / "report" / "report.md").write_text("seen")
        looking.publish_outputs()
        with pytest.raises(AssertionError):
            looking.publish()
        append(home, FAN_IN - 1)
        home.publish_records()
    store = open_storage(home.location)
    assert store.read("report/report.md") == b"seen"
    assert (home_at(home.location).folder / "results.jsonl").read_text().split() == [
        str(number) for number in range(FAN_IN)
    ]


def test_a_resume_goes_on_from_what_another_process_wrote_until_it_gave_the_lock_away(s3, monkeypatch):
    plan = make_plan(methods=("sgd",), trials=2, confirm_seeds=1, curve=())
    home = start(below(s3, "overtaken"), plan)
    opened = home_at(home.location)
    with home.locked():  # in between, the sweep was extended and finished elsewhere
        plan = extended(plan, trials=3)
        (home.folder / "sweep.toml").write_text(plan.to_toml())
        simulate(plan, home.folder, publish=home.publish_records)
        home.publish()
    monkeypatch.setattr(ire.sweeps.experiments.launch, "home_at", lambda _: opened)
    experiment = ire.sweeps.experiments.launch.resume(home.location)
    assert experiment.is_complete, "there was nothing left to do"
    assert experiment.plan.trials == 3
    assert table(experiment) == table(SimpleNamespace(records=read_records(home.folder)))


def test_nothing_of_the_gangs_stays_behind(experiment):
    home = home_at(experiment)
    with home.locked():
        tune = TuneRun(Protocol(make_plan(), home.folder), home, slots=lambda: 1, watchers=[Publisher(home)])
        config = tune.next_job()
        open_storage(config["gang"]["storage"]).write("gang-1/run.json", b"{}")
        tune.close()
    left = open_storage(home.location).names()
    assert "trials.jsonl" in {name.split("/")[0] for name in left}, "its records were published at the end"
    assert not [name for name in left if name.startswith("gangs")]


def test_what_cannot_be_cleared_away_breaks_nothing_off(s3, monkeypatch):
    home = start(below(s3, "littered"), make_plan())

    def away(*_):
        raise OSError(errno.EIO, "SlowDown")

    with home.locked():
        save_checkpoint({"step": 1}, home.below("checkpoints", "trial"))
        monkeypatch.setattr(ObjectStore, "delete", away)
        for number in range(FAN_IN):  # the last one merges them
            append(home, number)
            home.publish_records()
        home.clear("checkpoints/trial")
        for step in (2, 3, 4):
            save_checkpoint({"step": step}, home.below("checkpoints", "trial"))
        monkeypatch.undo()
        save_checkpoint({"step": 5}, home.below("checkpoints", "trial"))
        assert len(open_storage(home.below("checkpoints")).names()) == 2, "what was left goes with the next"
        home.clear("checkpoints/trial")
        assert not open_storage(home.below("checkpoints")).names()
    again = home_at(home.location)
    assert (again.folder / "results.jsonl").read_text().split() == [str(n) for n in range(FAN_IN)]


def test_a_name_that_is_taken_is_refused_in_a_folder_and_in_a_store(s3, tmp_path):
    start(below(s3, "taken"), make_plan())
    (tmp_path / "taken").mkdir()
    for storage in (s3, tmp_path):
        with pytest.raises(InvalidInput, match="exists: choose another --name"):
            new_home(storage, "taken")
        assert isinstance(new_home(storage, "free"), StoreHome if storage is s3 else FolderHome)


def test_of_two_sweeps_that_begin_with_one_name_the_second_is_refused(tmp_path):
    first, second = new_home(tmp_path, "same"), new_home(tmp_path, "same")
    first.create()
    with pytest.raises(InvalidInput, match="another sweep of this --name began at the same time"):
        second.create()


@pytest.mark.parametrize("wrong_by", [-3600, 60, 86400 * 365])
def test_a_clock_that_is_wrong_takes_no_lease_away_and_loses_none(s3, monkeypatch, wrong_by):
    home = start(below(s3, f"clock{wrong_by}"), make_plan())
    clock = time.time
    with home.locked():
        monkeypatch.setattr(ire.sweeps.records.experiment_lock.time, "time", lambda: clock() + wrong_by)
        with pytest.raises(InvalidInput, match="in use by process"), home_at(home.location).locked():
            pass
        home.publish_records()
