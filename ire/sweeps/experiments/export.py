"""Exports an experiment as tidy tables: one row per trial and one row per report, in CSV and Parquet."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ire.foreign_text import in_spreadsheet, visible
from ire.invalid_input import writable
from ire.storage.whole_file import write_whole
from ire.sweeps.findings.results import Results

TABLES = ("trials", "curves")


def export(results: Results, folder: Path) -> list[Path]:
    """Write `trials` and `curves` as `.csv` and `.parquet` into `folder`; returns the files."""
    with writable(folder):
        return _written(results, folder)


def _written(results: Results, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name in TABLES:
        frame = _with_texts(getattr(results, name), visible)
        for kind, write in (
            ("csv", _with_texts(frame, in_spreadsheet).to_csv),
            ("parquet", frame.to_parquet),
        ):
            path, content = folder / f"{name}.{kind}", io.BytesIO()
            write(content, index=False)
            write_whole(path, content.getvalue())
            written.append(path)
    return written


def _with_texts(frame: Any, show: Callable[[str], str]) -> Any:
    """The data frame with `show` applied to every text, the names of the columns included."""

    def shown(cell: object) -> object:
        return show(cell) if isinstance(cell, str) else cell

    texts = {name: column.map(shown) for name, column in frame.items() if column.dtype.kind == "O"}
    return frame.assign(**texts).rename(columns=show)
