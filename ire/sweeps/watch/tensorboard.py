"""Everything a trial reports, in TensorBoard, and an HParams tab with all trials of all methods.

The HParams entry is written when a trial starts and closed when it ends, whatever way; torch's `add_hparams`
writes both at the end only, so the messages are built here. What a kill left unwritten is written from the records
at the next start, except the flat fractions of single tensors, which are recorded nowhere else.
"""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from torch.utils.tensorboard import SummaryWriter

from ire.foreign_text import visible
from ire.storage.storage import open_storage
from ire.sweeps.records.experiment_home import ExperimentHome
from ire.sweeps.records.records import FINISHED, PRUNED, RUNNING, TIMING, TrialRecord
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.publisher import ALL_SECONDS
from ire.sweeps.watch.watcher import Watcher
from ire.trial.report import MEASURES, Report

IN_DOUBT = timedelta(seconds=2 * ALL_SECONDS)
"""Seconds before a kill in which the events of ended trials may not have been stored."""

END_METRICS = ("final_val_loss", "best_val_loss", "progress")
GROUPS = {
    "loss": ("train_loss", "val_loss", "test_loss"),
    "optimizer": (
        "lr",
        "grad_norm",
        "micro_grad_norm",
        "penalty",
        "step_length",
        "kappa",
        "flat_fraction",
        "skipped_refreshes",
        "mask_overlap",
        "zero_curvature",
    ),
    "flatness": MEASURES,
    "cost": (
        "gradient_evaluations",
        "seconds",
        "steps_per_second",
        "warmup_seconds",
        "peak_memory_mib",
        "gpu_utilization",
    ),
}
TAGS = {name: f"{group}/{name}" for group, names in GROUPS.items() for name in names}


class TensorBoard(Watcher):
    """Writes one run a trial under `trials/`, named like the trial; turns of the quiet pass have none."""

    def __init__(self, home: ExperimentHome) -> None:
        self._home, self._root = home, home.folder / "trials"
        self._writers: dict[str, SummaryWriter] = {}

    def opened(self, protocol: Protocol) -> None:
        methods = protocol.plan.methods
        names = sorted({name for arm in protocol.arms.values() for name in arm.method.settings})
        experiment = api_pb2.Experiment(
            name=protocol.plan.name, description=f"{protocol.plan.task}: {methods}"
        )
        for name in ("method", "stage", "seed", *names):
            experiment.hparam_infos.add(name=name)
        for tag in END_METRICS:
            experiment.metric_infos.add(name=api_pb2.MetricName(tag=f"end/{tag}"), display_name=tag)
        writer = self._writer("")
        _add_hparams(writer, "experiment", experiment=experiment)
        writer.flush()
        self._catch_up(protocol)

    def _catch_up(self, protocol: Protocol) -> None:
        """Write recorded events that a killed run did not write."""
        trials = [trial for trial in protocol.records.trials.values() if trial.stage != TIMING]
        stored = {name.split("/")[0] for name in open_storage(self._home.below("trials")).names()}
        killed = max((trial.ended or trial.started for trial in trials), default=None)
        to_come = {trial.name for trial in protocol.settled}  # of their end the run itself will tell
        for trial in trials:
            if trial.name in stored and trial.ended and trial.ended < killed - IN_DOUBT:
                continue
            step, is_closed = -1, False
            if trial.name in stored:
                self._home.fetch(f"trials/{trial.name}")
                step, is_closed = _written(self._root / trial.name)
            over = trial.status != RUNNING and trial.name not in to_come
            if over and step < 0:
                self.started(trial)
            for report in trial.reports:
                if report["step"] > step:
                    self.reported(trial, report, {})
            if over and not is_closed:
                self.ended(trial)

    def started(self, trial: TrialRecord) -> None:
        if trial.stage == TIMING:
            return
        start = plugin_data_pb2.SessionStartInfo(
            group_name=trial.name, start_time_secs=trial.started.timestamp()
        )
        values = {"method": trial.method, "stage": trial.stage, "seed": trial.spec.seed} | dict(
            trial.spec.settings
        )
        for name, value in values.items():
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, int | float):
                start.hparams[name].number_value = value
            else:
                start.hparams[name].string_value = visible(value)
        writer = self._writer(trial.name)
        _add_hparams(writer, "session_start_info", session_start_info=start)
        writer.flush()

    def reported(self, trial: TrialRecord, report: Report, flat_fractions: dict[str, float]) -> None:
        if trial.stage == TIMING:
            return
        writer = self._writer(trial.name)
        for name, value in report.items():
            if name not in ("step", "diverged") and not isinstance(value, str):
                tag = TAGS.get(name, f"metric/{name}")
                writer.add_scalar(tag, math.nan if value is None else value, report["step"])
        for name, value in flat_fractions.items():
            writer.add_scalar(f"flat_fraction/{name}", value, report["step"])

    def ended(self, trial: TrialRecord) -> None:
        if trial.stage == TIMING:
            return
        writer = self._writer(trial.name)
        ends = {
            "final_val_loss": trial.val_loss,
            "best_val_loss": trial.best_val_loss,
            "progress": trial.step / trial.spec.horizon,
        }
        for tag, value in ends.items():
            writer.add_scalar(f"end/{tag}", math.nan if value is None else value, trial.step)
        writer.add_text(
            "end/status",
            trial.status + (f"\n\n    {visible(trial.error)}" if trial.error else ""),
            trial.step,
        )
        good = trial.status in (FINISHED, PRUNED)
        end = plugin_data_pb2.SessionEndInfo(
            status=api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE,
            end_time_secs=trial.ended.timestamp(),
        )
        _add_hparams(writer, "session_end_info", session_end_info=end)
        writer.close()
        del self._writers[trial.name]

    def closed(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, run: str) -> SummaryWriter:
        if run not in self._writers:
            self._writers[run] = SummaryWriter(str(self._root / run), flush_secs=5)
        return self._writers[run]


def _written(run: Path) -> tuple[int, bool]:
    """The last step whose report is among the events of a run, -1 if there is none, and whether its end is."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 1}).Reload()
    tags = events.Tags()
    steps = [events.Scalars(tag)[-1].step for tag in tags["scalars"] if tag == "loss/val_loss"]
    return max(steps, default=-1), "end/status/text_summary" in tags["tensors"]


def _add_hparams(writer: SummaryWriter, tag: str, **content: Any) -> None:
    data = plugin_data_pb2.HParamsPluginData(version=0, **content)
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
    )
    summary = Summary(value=[Summary.Value(tag=f"_hparams_/{tag}", metadata=metadata)])
    writer.file_writer.add_summary(summary)
