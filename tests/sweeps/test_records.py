import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from simulated import Killed, make_plan, reports_of, simulate, table

from ire.invalid_input import InvalidInput
from ire.sweeps.records.records import append_line, read_lines, read_records
from ire.sweeps.search.protocol import Protocol


@pytest.fixture
def folder(tmp_path):
    simulate(make_plan(trials=2, confirm_seeds=1, methods=("sgd",)), tmp_path)
    return tmp_path


def test_a_torn_last_line_is_dropped_and_cut_off_before_the_next(tmp_path):
    path = tmp_path / "x.jsonl"
    append_line(path, {"a": 1})
    with path.open("ab") as file:
        file.write(b'{"a": 2, "tor')
    assert list(read_lines(path)) == [{"a": 1}]
    append_line(path, {"a": 3})
    assert list(read_lines(path)) == [{"a": 1}, {"a": 3}]


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "x.jsonl"
    for value in (1, 2, 3):
        append_line(path, {"a": value})
    path.write_bytes(path.read_bytes().replace(b'{"a": 2}', b"\0" * 8))
    with pytest.raises(InvalidInput, match=r"x\.jsonl, line 2: it was damaged"):
        list(read_lines(path))


def test_nan_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        append_line(tmp_path / "x.jsonl", {"a": float("nan")})


def test_a_report_that_is_sent_twice_is_kept_once(folder):
    plan = make_plan(trials=2, confirm_seeds=1, methods=("sgd",))
    lines = (folder / "results.jsonl").read_bytes()
    protocol = Protocol(plan, folder)
    trial = next(iter(protocol.records.trials.values()))
    assert not protocol.records.report(trial, trial.reports[3])
    assert (folder / "results.jsonl").read_bytes() == lines


def test_passwords_and_keys_in_uris_of_an_error_are_not_recorded(folder):
    records = read_records(folder)
    trial = next(iter(records.trials.values()))
    records.fault(trial, "storage", "no answer of s3://KEY:SECRET@bucket")
    records.end(trial, "failed", "ValueError: https://host/x?token=SECRET")
    written = [(folder / name).read_text() for name in ("trials.jsonl", "results.jsonl")]
    assert not any("SECRET" in text for text in written)
    assert trial.error == "ValueError: https://host/x?token=***"


def test_reading_gives_back_what_was_recorded(folder):
    plan = make_plan(trials=2, confirm_seeds=1, methods=("sgd",))
    assert table(Protocol(plan, folder)) == table(SimpleNamespace(records=read_records(folder)))


@pytest.mark.parametrize("fails", [(), ("sgd-0001", "sgd-ire-confirm-0000-0")])
def test_the_results_alone_tell_of_every_trial_what_both_files_tell(tmp_path, fails):
    plan = make_plan(methods=("sgd", "sgd-ire"), curve=(0.5, 2.0), controls=True, candidates=2)
    simulate(plan, tmp_path, slots=3, fails=fails)
    both = read_records(tmp_path)
    (tmp_path / "trials.jsonl").unlink()
    alone = read_records(tmp_path)
    assert sorted(table(SimpleNamespace(records=alone))) == sorted(table(SimpleNamespace(records=both)))
    for name, trial in both.trials.items():
        assert alone.trials[name].started == trial.started
        assert abs((alone.trials[name].ended - trial.ended).total_seconds()) < 1
        assert alone.trials[name].error == trial.error


def test_every_line_of_the_results_says_whose_it_is(folder):
    for line in read_lines(folder / "results.jsonl"):
        assert {"trial", "method", "stage", "seed", "step", "gradient_evaluations", "seconds"} <= set(line)
        assert line["stage"] in ("search", "confirm")


@pytest.mark.parametrize("lost", [1, 3, 7])
@pytest.mark.parametrize("kill_after", [31, 60, 75])
def test_an_end_whose_reports_were_lost_with_the_power_has_not_happened(tmp_path, lost, kill_after):
    plan = make_plan(trials=3, confirm_seeds=1, methods=("sgd",), curve=())
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = table(simulate(plan, tmp_path / "whole"))
    with pytest.raises(Killed):
        simulate(plan, tmp_path / "cut", kill_after=kill_after)
    results = tmp_path / "cut" / "results.jsonl"
    results.write_bytes(b"".join(results.read_bytes().splitlines(keepends=True)[:-lost]) + b'{"torn')
    protocol = Protocol(plan, tmp_path / "cut")
    protocol.records.run(versions={}, identity={})
    assert protocol.interrupted, "what has not ended goes on"
    assert table(simulate(plan, tmp_path / "cut")) == whole
    assert table(SimpleNamespace(records=read_records(tmp_path / "cut"))) == whole
    ends = [line["trial"] for line in read_lines(tmp_path / "cut" / "trials.jsonl") if line["event"] == "end"]
    assert set(ends) == {row[0] for row in whole}


def test_an_event_is_on_the_disk_after_the_reports_that_it_counts(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def sync(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.suffix == ".jsonl":
            synced.append((path.name, len(list(read_lines(tmp_path / "trials.jsonl")))))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    protocol = Protocol(make_plan(trials=2, confirm_seeds=1, methods=("sgd",), curve=()), tmp_path)
    trial = protocol.next_trial()
    assert synced == [("trials.jsonl", 1)], "nothing was reported yet"
    first, *_, last = reports_of(trial)
    protocol.report(trial, first)
    assert len(synced) == 1, "reports alone wait"
    protocol.report(trial, last)
    assert synced[1:] == [("results.jsonl", 1), ("trials.jsonl", 2)]
