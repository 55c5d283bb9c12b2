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
    assert table(Protocol(plan, folder)) == [
        (t.name, t.stage, t.number, t.spec, t.status, [r["val_loss"] for r in t.reports])
        for t in read_records(folder).trials.values()
    ]


def test_every_line_of_the_results_says_whose_it_is(folder):
    for line in read_lines(folder / "results.jsonl"):
        assert {"trial", "method", "stage", "seed", "step", "gradient_evaluations", "seconds"} <= set(line)
        assert line["stage"] in ("search", "confirm")
