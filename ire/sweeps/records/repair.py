"""Reconstructs one of the two record files from the other, as far as possible.

`results.jsonl` describes every trial and its end, so events missing from `trials.jsonl` can be written again; faults
and earlier runs of the sweep are lost. Reports are only in `results.jsonl`, which cannot be reconstructed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput
from ire.sweeps.records.lines import append_line

Line = Mapping[str, Any]


def check_not_lost(events: Sequence[Line], results: Sequence[Line], folder: Path) -> None:
    """Raise `InvalidInput` if the events count reports, but all reports are lost."""
    counted = max((event["results"] for event in events), default=0)
    if counted and not results:
        path = folder / "results.jsonl"
        state = "is empty" if path.exists() else "is missing"
        raise InvalidInput(
            f"{path} {state}, but trials.jsonl beside it counts {counted} lines of it: restore it from a copy, or "
            "also remove trials.jsonl to start the sweep again"
        )


def append_missing(events: Sequence[Line], results: Sequence[Line], folder: Path) -> list[dict[str, Any]]:
    """Append the missing events of the trials in `results` to `trials.jsonl`; returns these events.

    Requires the lock. Raises `InvalidInput` if an event is missing before existing ones.
    """
    path = folder / "trials.jsonl"
    started = {event["trial"] for event in events if event["event"] == "start"}
    ended = {event["trial"] for event in events if event["event"] == "end"}
    counted = max((event["results"] for event in events), default=0)
    lacking: list[dict[str, Any]] = []
    for index, line in enumerate(results):
        name = line["trial"]
        if name not in started:
            if "start" not in line:
                raise _gap(path, name)
            started.add(name)
            lacking.append(_start(line, index))
        is_last = index == len(results) - 1  # then a kill may have come before the event
        if "status" in line and name not in ended and index >= counted and not is_last:
            lacking.append(_end(line, results[: index + 1]))
            ended.add(name)
    for event in lacking:
        if event["results"] < counted:
            raise _gap(path, event["trial"])
    for event in lacking:
        append_line(path, event)
    return lacking


def repair_messages(
    lacking: Sequence[Line], events: Sequence[Line], results: Sequence[Line], folder: Path
) -> list[str]:
    """Messages for the user about reconstructed events and lost reports; empty for intact records."""
    lines: list[str] = []
    if lacking:
        trials = sum(event["event"] == "start" for event in lacking)
        state = "lacked its last events" if events else "was missing or empty"
        lines.append(
            f"{folder / 'trials.jsonl'} {state}: {len(lacking)} events of {trials} trials were written again from "
            "results.jsonl; faults, and trials without any report, are lost"
        )
    lost = max((event["results"] for event in events), default=0) - len(results)
    if lost > 0:
        lines.append(
            f"{folder / 'results.jsonl'} lacks {lost} lines that trials.jsonl counts: trials with lost reports "
            "continue from their last checkpoint"
        )
    return lines


def _start(line: Line, index: int) -> dict[str, Any]:
    start = dict(line["start"])
    time = start.pop("time")
    start.pop("prefix", None)  # it is in the results
    fields = {"method": line.get("method"), "seed": line.get("seed"), "settings": start["spec"]["settings"]}
    return {"event": "start", "trial": line["trial"]} | fields | start | {"results": index, "time": time}


def _end(line: Line, before: Sequence[Line]) -> dict[str, Any]:
    none: Line = {}
    last = next((r for r in reversed(before) if r["trial"] == line["trial"] and "step" in r), none)
    return {
        "event": "end",
        "trial": line["trial"],
        "status": line["status"],
        "gradient_evaluations": last.get("gradient_evaluations", 0),
        "seconds": last.get("seconds", 0.0),
        **({"error": line["error"]} if line.get("error") else {}),
        "results": len(before),
        "time": line["time"],
    }


def _gap(path: Path, name: str) -> InvalidInput:
    return InvalidInput(
        f"{path} lacks the start of {name}, of which results.jsonl has reports, and holds later events: put it back "
        "from a copy, or move it away to have it written again from results.jsonl"
    )
