"""Reads TensorBoard's event files as a table of scalars: each folder with event files is a run."""

import logging
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has none

from ire.invalid_input import InvalidInput

EVENTS = "events.out.tfevents"
"""The prefix of an event file's name."""
SWEEP = "sweep.toml"
"""A file that every experiment folder of this project has."""


def holds_events(path: Path) -> bool:
    """Whether `path` is an event file, or a folder to search for event files."""
    return path.is_dir() or path.name.startswith(EVENTS)


def read_events(path: Path, *, named_from: Path | None = None) -> pd.DataFrame:
    """Every scalar of the runs below `path`: rows of `run`, `tag`, `step`, `value` (as text) and `Wall time`.

    A run is named by its folder, relative to `named_from`, by default `path`. Raises `InvalidInput` if there are no
    scalars, and for the folder of a sweep, which holds the runs of a search.
    """
    folders = _folders(path)
    base = named_from or path
    rows: list[dict[str, str | int | float]] = []
    for folder in folders:
        inside = folder.relative_to(base).as_posix() if folder.is_relative_to(base) else "."
        name = inside if inside != "." else folder.resolve().name
        rows += [
            {"run": name, "tag": tag, "step": step, "value": repr(value), "Wall time": time}
            for tag, step, value, time in _scalars(folder if path.is_dir() else path)
        ]
    if not rows:
        raise InvalidInput(f"{path}: its event files hold no scalars, or are damaged")
    return pd.DataFrame(rows)


def _folders(path: Path) -> list[Path]:
    """The folders of runs, in order of their names."""
    if not path.is_dir():
        refuse_a_sweep(path.absolute().parents)
        return [path.parent]
    folders = sorted({file.parent for file in path.rglob(f"{EVENTS}*") if file.is_file()})
    refuse_a_sweep(dict.fromkeys(each for run in (path, *folders) for each in (run, *run.absolute().parents)))
    if not folders:
        raise InvalidInput(
            f"{path}: the folder has no TensorBoard event file ({EVENTS}...); name CSV and Parquet files "
            "one by one"
        )
    return folders


def refuse_a_sweep(folders: Iterable[Path]) -> None:
    """Raise `InvalidInput` if one of the folders is that of a sweep, which holds the runs of a search."""
    for folder in folders:
        if (folder / SWEEP).is_file():
            raise InvalidInput(
                f"{folder} is an experiment of ire, whose verdict `ire report {shlex.quote(str(folder))}` shows; "
                "`ire export` writes its curves"
            )


def _scalars(run: Path) -> Iterator[tuple[str, int, float, float]]:
    """Tag, step, value and time of every scalar of a run, up to the first damage in its files."""
    # TensorBoard takes a second to import
    from tensorboard.backend.event_processing import event_accumulator  # pyright: ignore[reportMissingTypeStubs]
    from tensorboard.util.tensor_util import (  # pyright: ignore[reportMissingTypeStubs]
        make_ndarray,  # pyright: ignore[reportUnknownVariableType]
    )

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it logs each restart of a run
    all_of_them = {event_accumulator.SCALARS: 0, event_accumulator.TENSORS: 0}
    none = {event_accumulator.IMAGES: 1, event_accumulator.AUDIO: 1, event_accumulator.HISTOGRAMS: 1}
    events: Any = event_accumulator.EventAccumulator(
        str(run), size_guidance={**all_of_them, **none}, purge_orphaned_data=False
    )
    try:
        events.Reload()
    except Exception as error:  # from protobuf or TensorBoard
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
                value = float(make_ndarray(event.tensor_proto))  # pyright: ignore[reportUnknownArgumentType]
                yield tag, event.step, value, event.wall_time


def _of_last_start(events: list[Any]) -> list[Any]:
    """The events without those at steps that the run repeated after a restart."""
    kept: list[Any] = []
    for event in sorted(events, key=lambda event: event.wall_time):
        while kept and kept[-1].step >= event.step:
            kept.pop()
        kept.append(event)
    return kept
