"""What a stranger's folder, a name or a network neighbour must not be able to do."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from simulated import make_plan, simulate
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput
from ire.storage.storage import open_storage
from ire.sweeps.command.app import app
from ire.sweeps.experiments.run_plan import _write_plan
from ire.sweeps.records.experiment_home import FolderHome
from ire.sweeps.records.open_home import new_home
from trainables.task import load_task


class Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_looking_at_an_experiment_never_unpickles_anything(tmp_path, monkeypatch):
    folder, trace = tmp_path / "experiment", tmp_path / "trace"
    folder.mkdir()
    plan = make_plan(trials=2, confirm_seeds=2, methods=("sgd", "sgd-ire"), curve=())
    (folder / "sweep.toml").write_text(plan.to_toml())
    protocol = simulate(plan, folder)
    trap = pickle.dumps(Trap(trace))
    names = ("tuner.pkl", "trainable.pkl", "searcher-state.pkl", "experiment_state.json", "params.pkl")
    winners = [arm.winner.name for arm in protocol.arms.values()]
    for place in (
        "",
        "trials",
        *(f"trials/{t}" for t in protocol.records.trials),
        *(f"checkpoints/{w}" for w in winners),
    ):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in (*names, "0000000240-" + 32 * "0" + ".pt"):
            (folder / place / name).write_bytes(trap)
    monkeypatch.chdir(tmp_path)
    for command in ("status", "report", "export"):
        result = CliRunner().invoke(app, [command, str(folder)])
        assert result.exit_code == 0, (command, result.output, result.exception)
    assert not trace.exists()
    pickle.loads(trap)
    assert trace.exists(), "the trap works"


@pytest.mark.parametrize(
    "name", ["..", "../x", "/tmp/x", "a/b", ".hidden", "a\\b", "", "x" * 65, "a\nb", "~"]
)
def test_an_experiment_name_cannot_leave_its_storage(name, tmp_path):
    result = CliRunner().invoke(app, ["sweep", "digits", "--name", name, "--storage", str(tmp_path / "in")])
    assert isinstance(result.exception, InvalidInput)
    assert "--name" in str(result.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["elsewhere", "missing"])
def test_a_link_in_the_storage_leads_nowhere(target, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "name").symlink_to(tmp_path / target)
    with pytest.raises(InvalidInput, match="exists: choose another --name"):
        new_home(tmp_path / "in", "name")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_whose_name_is_not_utf8_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InvalidInput, match="must be UTF-8; choose another one"):
        new_home(tmp_path / "\udcff", "name")
    assert not list(tmp_path.iterdir())


def test_what_was_killed_before_it_had_a_plan_is_not_offered_for_a_resume(tmp_path):
    (tmp_path / "name").mkdir()
    with pytest.raises(InvalidInput, match=r"choose another --name; it has no sweep\.toml"):
        new_home(tmp_path, "name")


def test_what_is_written_into_a_folder_replaces_its_links_and_follows_none(tmp_path, monkeypatch):
    monkeypatch.setattr("ire.sweeps.report.pictures.pictures_of", lambda _: [])
    folder, mine = tmp_path / "experiment", tmp_path / "mine"
    mine.write_text("mine")
    folder.mkdir()
    plan = make_plan(trials=2, confirm_seeds=0, methods=("sgd",), curve=())
    (folder / "sweep.toml").write_text(plan.to_toml())
    simulate(plan, folder)
    outputs = ("report.html", "report.md", "report.json", "status.json")
    links = [
        ".owner.json",
        *(f"report/{name}" for name in outputs),
        "export/trials.csv",
        "export/trials.parquet",
    ]
    for name in links:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(mine)
    for command in ("report", "export"):
        result = CliRunner().invoke(app, [command, str(folder)])
        assert result.exit_code == 0, (command, result.output, result.exception)
    with FolderHome(folder).locked():
        pass
    assert mine.read_text() == "mine"
    assert not [name for name in links if (folder / name).is_symlink()]


def test_where_checkpoints_is_a_link_only_states_of_trials_are_deleted(tmp_path):
    letter, state = (tmp_path / "mine" / "sgd-0000" / name for name in ("letter", f"{7:010d}-{'0' * 32}.pt"))
    letter.parent.mkdir(parents=True)
    letter.touch()
    state.touch()
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "checkpoints").symlink_to(tmp_path / "mine")
    FolderHome(tmp_path / "experiment").clear("checkpoints/sgd-0000")
    assert letter.exists() and not state.exists()


@pytest.mark.parametrize(
    "name", ["..", "../digits", "/etc/passwd", "tasks/digits", "digits.py", "__init__", "digits\x00"]
)
def test_a_task_name_is_a_name_and_no_path(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match="unknown task"):
        load_task(name)
    for command in (["spaces", name], ["sweep", name], ["train", name, "sgd"]):
        assert isinstance(CliRunner().invoke(app, command).exception, InvalidInput), command
    assert not list(tmp_path.iterdir())


def test_a_space_file_names_no_other_file(tmp_path):
    (tmp_path / "space.toml").write_text('include = "/etc/passwd"\nhorizon = 10\n')
    result = CliRunner().invoke(app, ["spaces", "digits", "--space", str(tmp_path / "space.toml")])
    assert isinstance(result.exception, InvalidInput)
    assert "include" in str(result.exception)


@pytest.mark.parametrize(("mask", "folders", "files"), [(0o077, 0o700, 0o600), (0o027, 0o750, 0o640)])
def test_who_may_read_an_experiment_is_what_the_umask_says(mask, folders, files, tmp_path):
    before = os.umask(mask)
    try:
        home = FolderHome(tmp_path / "deep" / "sweep")
        home.create()
        with home.locked():
            plan = make_plan(methods=("sgd",), trials=1, confirm_seeds=0, curve=())
            _write_plan(plan, home)
            simulate(plan, home.folder)
            store = open_storage(home.location)
            store.write("checkpoints/sgd-0000/1.pt", b"x")
    finally:
        os.umask(before)
    found = [path for path in (tmp_path / "deep").rglob("*") if path.name != ".lock"]
    assert {path.stat().st_mode & 0o777 for path in found if path.is_dir()} == {folders}
    assert {path.stat().st_mode & 0o777 for path in found if path.is_file()} == {files}


@pytest.mark.ray
def test_a_local_cluster_listens_on_the_loopback_interface_alone_and_asks_for_its_token():
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    script = Path(__file__).with_name("listening.py")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=True,
    )
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert {name for _, name in lines} >= {"gcs_server", "raylet"}
    assert {address for address, _ in lines} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, lines
    assert "RAY_AUTH_MODE disabled" not in done.stderr
