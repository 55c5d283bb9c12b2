"""Writes `report.json`, the facts of a report as plain data."""

import json
from collections.abc import Mapping
from pathlib import Path

from ire.foreign_text import without_secrets
from ire.storage.whole_file import write_whole


def write_facts(facts: Mapping[str, object], folder: Path) -> None:
    """Write `facts` to `report.json` in `folder`, with passwords and keys in URIs hidden."""
    text = without_secrets(json.dumps(facts, indent=1, allow_nan=False))
    write_whole(folder / "report.json", f"{text}\n")
