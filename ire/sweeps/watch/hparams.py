"""The messages that TensorBoard's HParams tab reads: its columns, and the start and the end of each trial.

torch's `add_hparams` writes start and end only at the end, so the messages are built here.
"""

# TensorBoard has no types, and makes its messages at import.
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS, Experiment, MetricName
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch.utils.tensorboard import SummaryWriter

from ire.foreign_text import visible


def add_experiment(
    writer: SummaryWriter, name: str, words: str, *, columns: Mapping[str, bool], metrics: Mapping[str, str]
) -> None:
    """The tab's columns, each with whether it is shown at first, and its metrics: the name and the tag of each."""
    experiment = Experiment(name=name, description=words)
    for column, is_first in columns.items():  # the page sorts by `differs`, then by name, and ticks five
        experiment.hparam_infos.add(name=column, differs=is_first)
    for metric, tag in metrics.items():
        experiment.metric_infos.add(name=MetricName(tag=tag), display_name=metric)
    _add(writer, "experiment", experiment=experiment)


def add_start(writer: SummaryWriter, name: str, started: datetime, values: Mapping[str, Any]) -> None:
    """A trial starts, with these values in its columns."""
    start = SessionStartInfo(group_name=name, start_time_secs=started.timestamp())
    for column, value in values.items():
        if isinstance(value, bool):
            start.hparams[column].bool_value = value
        elif isinstance(value, int | float):
            start.hparams[column].number_value = value
        else:
            start.hparams[column].string_value = visible(value)
    _add(writer, "session_start_info", session_start_info=start)


def add_end(writer: SummaryWriter, ended: datetime, *, good: bool) -> None:
    """A trial has ended."""
    end = SessionEndInfo(status=STATUS_SUCCESS if good else STATUS_FAILURE, end_time_secs=ended.timestamp())
    _add(writer, "session_end_info", session_end_info=end)


def _add(writer: SummaryWriter, tag: str, **content: Any) -> None:
    data = HParamsPluginData(version=0, **content)
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
    )
    summary = Summary(value=[Summary.Value(tag=f"_hparams_/{tag}", metadata=metadata)])
    assert writer.file_writer is not None, "it is open"
    writer.file_writer.add_summary(summary)
