"""Checks every line of the records before it is used, since the folder may come from another person.

A trial's name becomes a path, its status determines what runs, and its numbers are compared. So each is checked when it
is read: an invalid event is reported in one line, and an event of a newer version is reported as such.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput
from ire.plain_values import is_list, is_table

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:+=@-]{0,199}")
"""A trial's name, which is also the name of its folders: one component of a path, never hidden."""

RUNNING, FINISHED, PRUNED, DIVERGED, FAILED = "running", "finished", "pruned", "diverged", "failed"
SEARCH, SELECT, CONFIRM, CURVE, CONTROL = "search", "select", "confirm", "curve", "control"
TIMING = "timing"
STAGES = (SEARCH, SELECT, CONFIRM, CURVE, CONTROL, TIMING)
ENDS = (FINISHED, PRUNED, DIVERGED, FAILED)

Fields = Mapping[str, Any]

LARGEST = 2**53
"""Larger whole numbers are not exact in JSON, and no sweep needs them."""


class NoEvent(Exception):
    """The error in a line, without its place."""


class Newer(NoEvent):
    """A line that only a newer version can have written."""


def refused(path: Path, number: int, error: Exception) -> InvalidInput:
    """The error message for a line that cannot be used."""
    if isinstance(error, Newer):
        return InvalidInput(
            f"{path}, line {number}: {error}: a newer version of ire wrote it; upgrade to read this experiment"
        )
    return InvalidInput(
        f"{path}, line {number}: it is not an event of a sweep ({error}); restore the file from a copy"
    )


def check_event(line: Fields) -> None:
    """Raise `NoEvent` unless it is an event of `trials.jsonl`."""
    kind = _text(line, "event")
    if kind not in ("run", "start", "end", "fault"):
        raise Newer(f"the event {kind!r} is unknown")
    _whole(line, "results", low=0)
    _time(line, "time")
    if kind == "run":
        for name in ("versions", "identity"):
            _table(line, name)
        return
    check_name(line.get("trial"))
    if kind == "start":
        check_identity(line)
        if line["spec"]["name"] != line["trial"]:
            raise NoEvent(f"it names {line['trial']!r} and {line['spec']['name']!r}")
    elif kind == "end":
        _status(line)
        _optional_text(line, "error")
    else:
        _text(line, "kind")
        _text(line, "cause")


def check_result(line: Fields) -> None:
    """Raise `NoEvent` unless it is a line of `results.jsonl`: a report, the end of a trial, or both."""
    check_name(line.get("trial"))
    if "start" in line:
        start = _table(line, "start")
        check_identity(start)
        _time(start, "time")
        _whole({"prefix": start.get("prefix", 0)}, "prefix", low=0)
        if start["spec"]["name"] != line["trial"]:
            raise NoEvent(f"it names {line['trial']!r} and {start['spec']['name']!r}")
    if "status" in line:
        _status(line)
        _time(line, "time")
        _optional_text(line, "error")
    if "flat_fractions" in line:
        _check_fractions(_table(line, "flat_fractions"))
    if "step" not in line and "status" in line:
        return
    _whole(line, "step", low=1)
    _whole(line, "gradient_evaluations", low=0)
    _number(line, "seconds")
    if line.get("val_loss") is not None:
        _number(line, "val_loss")
    elif "val_loss" not in line:
        raise NoEvent("it has no val_loss")


def check_identity(fields: Fields) -> None:
    """Raise `NoEvent` unless the fields describe a trial."""
    stage = _text(fields, "stage")
    if stage not in STAGES:
        raise Newer(f"the stage {stage!r} is unknown")
    _whole(fields, "number", low=0)
    if fields.get("origin") is not None:
        _whole(fields, "origin", low=0)
    for name in ("arm", "variant"):
        if name in fields:
            _text(fields, name)
    if fields.get("widened") is not None:
        _check_widened(_table(fields, "widened"))
    spec = _table(fields, "spec")
    check_name(spec.get("name"))
    for name in ("task", "method"):
        _text(spec, name)
    for name, low in (("seed", 0), ("horizon", 1), ("eval_interval", 1)):
        _whole(spec, name, low=low)
    _whole({"study": spec.get("study", 0)}, "study", low=0)
    for name, value in _table(spec, "settings").items():
        if not isinstance(value, str | bool | int | float) and value is not None:
            raise NoEvent(f"the setting {name!r} is {value!r}")


def _check_fractions(fields: Fields) -> None:
    """Raise `NoEvent` unless each is the share of a tensor in the mask, and the size of the tensor."""
    for name, fraction in fields.items():
        if not is_list(fraction) or len(fraction) != 2:
            raise NoEvent(f"the mask of {_shown(name)} is {_shown(fraction)}")
        share, coordinates = fraction
        _number({"a share": share}, "a share")
        _whole({"a tensor's size": coordinates}, "a tensor's size", low=0)


def _check_widened(fields: Fields) -> None:
    """Raise `NoEvent` unless the fields describe widened ranges of a study."""
    for name in ("study", "trials"):
        _whole(fields, name, low=0)
    ranges = fields.get("ranges")
    if not is_list(ranges) or not ranges:
        raise NoEvent(f"the widened ranges are {_shown(ranges)}")
    for entry in ranges:
        if not is_table(entry):
            raise NoEvent(f"a widened range is {_shown(entry)}")
        for name in ("table", "setting"):
            _text(entry, name)
        for name in ("old", "new"):
            ends = entry.get(name)
            if not is_list(ends) or len(ends) != 2:
                raise NoEvent(f"a range is {_shown(ends)}")
            for end in ends:
                _number({"an end of a range": end}, "an end of a range")


def check_name(name: object) -> None:
    """Raise `NoEvent` unless it is the name of a trial, which cannot lead out of its folder."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        shown = name if isinstance(name, str) and len(name) <= 80 else type(name).__name__
        raise NoEvent(f"{shown!r} is not a trial name: use only letters, digits and _ . , : + = @ -")


def _status(line: Fields) -> None:
    status = _text(line, "status")
    if status not in ENDS:
        raise Newer(f"the status {status!r} is unknown")


def _text(line: Fields, name: str) -> str:
    value = line.get(name)
    if not isinstance(value, str):
        raise NoEvent(f"{name} is {_shown(value)}, not a string")
    return value


def _optional_text(line: Fields, name: str) -> None:
    if line.get(name) is not None:
        _text(line, name)


def _table(line: Fields, name: str) -> Fields:
    value = line.get(name)
    if not is_table(value):
        raise NoEvent(f"{name} is {_shown(value)}, not a table")
    return value


def _whole(line: Fields, name: str, *, low: int) -> None:
    value = line.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value < LARGEST:
        raise NoEvent(f"{name} is {_shown(value)}, not a whole number of at least {low}")


def _number(line: Fields, name: str) -> None:
    value = line.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise NoEvent(f"{name} is {_shown(value)}, not a number")


def _time(line: Fields, name: str) -> None:
    try:
        zone = datetime.fromisoformat(_text(line, name)).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise NoEvent(f"{name} is {_shown(line[name])}, not a time with a zone")


def _shown(value: object) -> str:
    text = repr(value)
    return "missing" if value is None else text if len(text) <= 60 else f"{text[:57]}..."
