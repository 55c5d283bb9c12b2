from types import SimpleNamespace

import pytest
from simulated import make_plan, simulate, table

from sweeps.protocol import Protocol
from sweeps.records import append_line, read_lines, read_records


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
