"""Folders of TensorBoard's event files as curves: each folder with some is a run."""

from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto
from torch.utils.tensorboard import SummaryWriter
from typer.testing import CliRunner

from ire import verdict
from ire.invalid_input import InvalidInput
from ire.sweeps.command.app import app
from ire.sweeps.findings.curves.events import read_events


def write(folder: Path, end: float, *, tag="val_loss", steps=(100, 200), began=1.7e9) -> None:
    with SummaryWriter(folder) as writer:
        for step in steps:
            writer.add_scalar(tag, end + (steps[-1] - step) / 100, step, walltime=began + step / 2)
            writer.add_scalar("lr", 0.1, step)


def write_runs(folder: Path, **options) -> Path:
    for arm, end in (("baseline", 3.0), ("mine", 2.9)):
        for seed in range(3):
            write(folder / arm / f"seed-{seed}", end + 0.001 * seed, **options)
    return folder


def test_a_folder_of_runs_is_judged(tmp_path):
    found = verdict(write_runs(tmp_path / "runs")).comparison
    assert [(arm.name, len(arm.main.runs), arm.main.horizon) for arm in found.arms] == [
        ("baseline", 3, 200),
        ("mine", 3, 200),
    ]
    assert found.arms[1].differences["baseline"][0] == pytest.approx(-0.1, abs=1e-6)
    assert found.arms[1].main.runs[0].step_seconds == pytest.approx(0.5)


def test_folders_that_are_named_apart_are_arms_by_their_names(tmp_path):
    write_runs(tmp_path)
    found = verdict([tmp_path / "baseline", tmp_path / "mine"]).comparison
    assert [(arm.name, len(arm.main.runs)) for arm in found.arms] == [("baseline", 3), ("mine", 3)]


def test_the_versions_of_a_lightning_logger_are_runs_of_one_arm(tmp_path):
    for arm, end in (("baseline", 3.0), ("mine", 2.9)):
        for number in range(3):
            write(tmp_path / arm / f"version_{number}", end + 0.001 * number)
    assert [arm.name for arm in verdict(tmp_path).comparison.arms] == ["baseline", "mine"]


def test_another_tag_is_named_and_may_be_one_to_maximise(tmp_path):
    write_runs(tmp_path, tag="eval/accuracy")
    with pytest.raises(InvalidInput, match=r"unknown tag for --val-loss 'val_loss' .*eval/accuracy"):
        verdict(tmp_path)
    found = verdict(tmp_path, metric="eval/accuracy", mode="max").comparison
    costs = found.challengers[0].differences["baseline"]
    assert costs[0] == pytest.approx(0.1, abs=1e-6), "a lower accuracy is worse"
    assert found.difference(costs)[0] == pytest.approx(-0.1, abs=1e-6)


def test_scalars_as_tensorflow_2_writes_them_are_read(tmp_path):
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
    writer = EventFileWriter(str(tmp_path / "run"))
    for step in (1, 2):
        tensor = make_tensor_proto(np.float32(step / 2))
        value = Summary.Value(tag="val_loss", tensor=tensor, metadata=metadata)
        writer.add_event(Event(step=step, wall_time=step, summary=Summary(value=[value])))
    writer.close()
    table = read_events(tmp_path)
    assert table[["run", "tag", "step", "value"]].to_numpy().tolist() == [
        ["run", "val_loss", 1, "0.5"],
        ["run", "val_loss", 2, "1.0"],
    ]


def test_a_restarted_run_counts_with_what_it_reached_in_the_end(tmp_path):
    write(tmp_path / "run", 3.0, steps=(1, 2, 3))
    write(tmp_path / "run", 2.0, steps=(3, 4), began=1.8e9)
    table = read_events(tmp_path)
    losses = table[table.tag == "val_loss"]
    assert losses.step.tolist() == [1, 2, 3, 4]
    assert [float(value) for value in losses.value.iloc[2:]] == pytest.approx([2.01, 2.0])


def test_a_loss_that_is_no_number_is_divergence(tmp_path):
    write_runs(tmp_path)
    write(tmp_path / "mine" / "seed-9", float("nan"))
    assert verdict(tmp_path).comparison.arms[1].main.lost == 1


def test_a_killed_runs_last_event_may_be_cut_off(tmp_path):
    write_runs(tmp_path)
    (file,) = (tmp_path / "mine" / "seed-0").iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    assert len(verdict(tmp_path).comparison.arms[1].main.runs) == 3


def test_a_folder_that_holds_a_sweep_or_is_in_one_is_refused(tmp_path):
    write_runs(tmp_path)
    (tmp_path / "mine" / "sweep.toml").touch()
    for folder in (tmp_path, tmp_path / "mine", tmp_path / "mine" / "seed-0"):
        with pytest.raises(InvalidInput, match="mine is an experiment of ire"):
            verdict(folder)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "no TensorBoard event file"),
        (lambda folder: (folder / "sweep.toml").touch(), "is an experiment of ire"),
        (lambda folder: (folder / "events.out.tfevents.1").write_bytes(b"no events"), "hold no scalar"),
        (lambda folder: (folder / "events.out.tfevents.1").touch(), "hold no scalar"),
    ],
)
def test_a_folder_that_cannot_be_judged_is_one_line_and_nothing_is_written(
    make, message, tmp_path, monkeypatch
):
    (tmp_path / "runs").mkdir()
    make(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=message):
        CliRunner().invoke(app, ["verdict", "runs"], catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
