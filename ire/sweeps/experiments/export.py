"""An experiment as tidy tables for other tools: one row a trial, one row a report, in CSV and Parquet."""

from pathlib import Path

from ire.sweeps.findings.results import Results

TABLES = ("trials", "curves")


def export(results: Results, folder: Path) -> list[Path]:
    """Write `trials` and `curves` as `.csv` and `.parquet` into `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in TABLES:
        frame = getattr(results, name)
        for kind, write in (("csv", frame.to_csv), ("parquet", frame.to_parquet)):
            path = folder / f"{name}.{kind}"
            write(path, index=False)
            written.append(path)
    return written
