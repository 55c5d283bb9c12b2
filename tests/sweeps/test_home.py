"""Experiments in folders and object stores: locks, segments, and a resume on a machine whose disk is empty."""

import json
import random
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from simulated import Killed, make_plan, simulate, table

import sweeps.home
from sweeps import open_experiment
from sweeps.home import FAN_IN, FolderHome, StoreHome, home_at, new_home
from sweeps.records import read_records
from trainables.checkpoint import load_checkpoint, save_checkpoint
from trainables.invalid_input import InvalidInput
from trainables.storage import ObjectStore, below, open_storage


def start(location: str, plan) -> StoreHome:
    home = StoreHome(location)
    (home.folder / "sweep.toml").write_text(plan.to_toml())
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


@pytest.mark.parametrize("seed", range(3))
def test_killed_and_resumed_where_the_disk_is_empty_it_equals_the_undisturbed_sweep(s3, tmp_path, seed):
    plan = make_plan(trials=3, confirm_seeds=1, curve=(), methods=("sgd", "sgd-ire"))
    whole = table(simulate(plan, tmp_path))
    location = below(s3, f"killed-{seed}")
    home = start(location, plan)
    draws = random.Random(seed)
    kills = 0
    while True:
        try:
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


def test_segments_are_merged_so_that_there_are_never_many(s3):
    plan = make_plan()
    home = start(below(s3, "merged"), plan)
    lines = [f'{{"line": {number}}}\n' for number in range(5 * FAN_IN**2 // 2)]
    for line in lines:
        with (home.folder / "trials.jsonl").open("a") as file:
            file.write(line)
        home.publish_records()
    names = open_storage(home.location).names("trials.jsonl")
    assert len(names) <= 2 * FAN_IN + 3
    assert (home_at(home.location).folder / "trials.jsonl").read_text() == "".join(lines)


def test_a_kill_between_a_merge_and_its_clean_up_harms_nothing_and_a_gap_is_told(s3):
    home = start(below(s3, "gap"), make_plan())
    store = open_storage(home.location)
    store.write("trials.jsonl/000000000000000-000000000000003.jsonl", b"{}\n")
    store.write("trials.jsonl/000000000000003-000000000000006.jsonl", b"{}\n")
    store.write("trials.jsonl/000000000000000-000000000000006.jsonl", b"{}\n{}\n")
    assert (home_at(home.location).folder / "trials.jsonl").read_bytes() == b"{}\n{}\n"
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
from sweeps.home import home_at
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
    now = sweeps.home.time.time()
    lease = {"host": "elsewhere", "pid": 1, "lease": "x", "renewed": now}
    open_storage(home.location).write("lock.json", json.dumps(lease).encode())
    with pytest.raises(InvalidInput, match="process 1 on elsewhere"), home.locked():
        pass
    monkeypatch.setattr(sweeps.home.time, "time", lambda: now + sweeps.home.LEASE_SECONDS + 1)
    with home.locked():
        assert json.loads(open_storage(home.location).read("lock.json"))["host"] != "elsewhere"
    assert "lock.json" not in open_storage(home.location).names()


def test_a_name_that_is_taken_is_refused_in_a_folder_and_in_a_store(s3, tmp_path):
    start(below(s3, "taken"), make_plan())
    (tmp_path / "taken").mkdir()
    for storage in (s3, tmp_path):
        with pytest.raises(InvalidInput, match="exists: choose another --name"):
            new_home(storage, "taken")
        assert isinstance(new_home(storage, "free"), StoreHome if storage is s3 else FolderHome)
