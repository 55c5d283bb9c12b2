"""Reads TensorBoard's event files as a table of scalars: each folder that holds some is a run."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from ire.invalid_input import InvalidInput

EVENTS = "events.out.tfevents"
"""What the name of an event file begins with."""
SWEEP = "sweep.toml"
"""A file of an experiment of this project."""


def holds_events(path: Path) -> bool:
    """Whether `path` is an event file or a folder, in which event files are looked for."""
    return path.is_dir() or path.name.startswith(EVENTS)


def read_events(path: Path, *, named_from: Path | None = None) -> pd.DataFrame:
    """Every scalar of the runs below `path`: rows of `run`, `tag`, `step`, `value` (as text) and `Wall time`.

    A run is named by its folder, relative to `named_from`, by default `path`. Raises `InvalidInput` if there is no
    scalar, and for the folder of a sweep, whose runs are of a search.
    """
    folders = _folders(path)
    base = named_from or path
    rows = []
    for folder in folders:
        inside = folder.relative_to(base).as_posix() if folder.is_relative_to(base) else "."
        name = inside if inside != "." else folder.resolve().name
        rows += [
            {"run": name, "tag": tag, "step": step, "value": repr(value), "Wall time": time}
            for tag, step, value, time in _scalars(folder if path.is_dir() else path)
        ]
    if not rows:
        raise InvalidInput(f"{path}: its event files hold no scalar, or are damaged")
    return pd.DataFrame(rows)


def _folders(path: Path) -> list[Path]:
    """The folders of runs, in the order of their names."""
    if not path.is_dir():
        return [path.parent]
    if (path / SWEEP).is_file():
        raise InvalidInput(
            f"{path}: is an experiment of ire, with its own verdict: ire report {path}; `ire export` writes its curves"
        )
    folders = sorted({file.parent for file in path.rglob(f"{EVENTS}*") if file.is_file()})
    if not folders:
        raise InvalidInput(
            f"{path}: there is no TensorBoard event file ({EVENTS}...) in the folder; CSV and Parquet files are named "
            "one by one"
        )
    return folders


def _scalars(run: Path) -> Iterator[tuple[str, int, float, float]]:
    """Tag, step, value and time of every scalar of a run, up to where its files are damaged."""
    # TensorBoard takes a second to import
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of each restart of a run
    all_of_them = {event_accumulator.SCALARS: 0, event_accumulator.TENSORS: 0}
    none = {event_accumulator.IMAGES: 1, event_accumulator.AUDIO: 1, event_accumulator.HISTOGRAMS: 1}
    events: Any = event_accumulator.EventAccumulator(
        str(run), size_guidance={**all_of_them, **none}, purge_orphaned_data=False
    )
    try:
        events.Reload()
    except Exception as error:  # of protobuf, or of TensorBoard's own
        raise InvalidInput(
            f"{run}: cannot be read as event files: {type(error).__name__}: {error}"
        ) from error
    tags = events.Tags()
    for tag in tags["scalars"]:
        for event in _of_last_start(events.Scalars(tag)):
            yield tag, event.step, event.value, event.wall_time
    for tag in tags["tensors"]:  # as TensorFlow 2 writes scalars
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            for event in _of_last_start(events.Tensors(tag)):
                yield tag, event.step, float(tensor_util.make_ndarray(event.tensor_proto)), event.wall_time


def _of_last_start(events: list[Any]) -> list[Any]:
    """Without what a run wrote at steps to which it returned later, when it was started again."""
    kept: list[Any] = []
    for event in sorted(events, key=lambda event: event.wall_time):
        while kept and kept[-1].step >= event.step:
            kept.pop()
        kept.append(event)
    return kept
