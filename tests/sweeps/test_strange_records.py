"""Records that were lost, doubled, written by a newer version or made by a stranger: used, repaired, or refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from simulated import Killed, make_plan, simulate, table
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput
from ire.sweeps.command.app import app
from ire.sweeps.experiments.experiment import open_experiment
from ire.sweeps.records.records import read_lines, read_records
from ire.sweeps.report import as_markdown
from ire.sweeps.search.protocol import Protocol

PLAN = {"methods": ("sgd", "sgd-ire"), "trials": 4, "confirm_seeds": 2, "curve": ()}
KILLED_AFTER = 120


@pytest.fixture(scope="module")
def plan():
    return make_plan(**PLAN)


@pytest.fixture(scope="module")
def whole(plan, tmp_path_factory):
    """The undisturbed sweep."""
    return table(simulate(plan, tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def killed_once(plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    with pytest.raises(Killed):
        simulate(plan, folder, kill_after=KILLED_AFTER)
    return {name: (folder / name).read_bytes() for name in ("trials.jsonl", "results.jsonl")}


@pytest.fixture
def folder(plan, killed_once, tmp_path):
    """A sweep that was killed in its middle."""
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    for name, content in killed_once.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def known(folder):
    return table(SimpleNamespace(records=read_records(folder)))


@pytest.mark.parametrize("how", ["missing", "empty", "torn"])
def test_a_resume_without_trials_jsonl_knows_every_trial_and_equals_the_undisturbed_sweep(
    folder, plan, whole, how
):
    before = known(folder)
    events = folder / "trials.jsonl"
    if how == "missing":
        events.unlink()
    else:
        events.write_bytes(b"" if how == "empty" else b'{"event": "sta')
    assert sorted(map(repr, known(folder))) == sorted(map(repr, before)), "for whoever only looks, too"
    protocol = Protocol(plan, folder)
    (told,) = protocol.records.repaired
    assert "trials.jsonl was missing or empty: " in told
    assert f" {len(before)} trials were written again" in told
    with pytest.raises(Killed):
        simulate(plan, folder, kill_after=20)
    assert table(simulate(plan, folder)) == whole
    starts = [line["trial"] for line in read_lines(folder / "trials.jsonl") if line["event"] == "start"]
    assert len(set(starts)) == len(starts) == len(whole)


@pytest.mark.parametrize("lost", [1, 2, 5, 9])
def test_a_trials_jsonl_that_is_older_than_the_results_is_completed(folder, plan, whole, lost):
    events = folder / "trials.jsonl"
    events.write_bytes(b"".join(events.read_bytes().splitlines(keepends=True)[:-lost]))
    assert table(simulate(plan, folder)) == whole
    assert known(folder) == whole


def test_an_event_that_was_cut_out_of_the_middle_is_refused(folder, plan):
    events = folder / "trials.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    starts = [n for n, line in enumerate(lines) if b'"event": "start"' in line]
    before = b"".join(line for n, line in enumerate(lines) if n != starts[1])
    events.write_bytes(before)
    with pytest.raises(InvalidInput, match=r"lacks the start of|has not started"):
        Protocol(plan, folder)
    assert events.read_bytes() == before, "nothing was written"


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_lost_results_are_refused_by_who_resumes_and_by_who_looks(folder, plan, how):
    results = folder / "results.jsonl"
    results.unlink() if how == "missing" else results.write_bytes(b"")
    for use in (lambda: Protocol(plan, folder), lambda: read_records(folder)):
        with pytest.raises(InvalidInput, match=rf"results\.jsonl is {how}, but trials\.jsonl .* counts \d+"):
            use()


def test_results_of_which_some_are_lost_run_again_and_it_is_said(folder, plan, whole):
    results = folder / "results.jsonl"
    results.write_bytes(b"".join(results.read_bytes().splitlines(keepends=True)[:40]))
    (told,) = Protocol(plan, folder).records.repaired
    assert "results.jsonl lacks " in told
    assert table(simulate(plan, folder)) == whole


@pytest.mark.parametrize("name", ["trials.jsonl", "results.jsonl"])
@pytest.mark.parametrize("doubled", [0, 7, -1])
def test_a_line_that_was_written_twice_counts_once(folder, plan, whole, name, doubled):
    path = folder / name
    lines = path.read_bytes().splitlines(keepends=True)
    at = range(len(lines))[doubled]
    path.write_bytes(b"".join(lines[: at + 1] + lines[at:]))
    assert table(simulate(plan, folder)) == whole


def test_a_trial_that_ended_again_because_its_last_report_was_lost_has_ended_once(folder, plan, whole):
    simulate(plan, folder)
    results = folder / "results.jsonl"
    results.write_bytes(b"".join(results.read_bytes().splitlines(keepends=True)[:-1]))
    simulate(plan, folder)
    ends = [line["trial"] for line in read_lines(folder / "trials.jsonl") if line["event"] == "end"]
    assert len(ends) == len(whole) + 1
    assert table(Protocol(plan, folder)) == whole == known(folder)


@pytest.mark.parametrize(
    "name",
    ["../../victim", "/etc/x", "a/b", "..", ".hidden", "", "a\\b", "a\x00b", "a\nb", "x" * 300, "ü", 7, None],
)
@pytest.mark.parametrize("file", ["trials.jsonl", "results.jsonl"])
def test_a_name_that_is_no_name_is_refused_wherever_it_is_read(folder, plan, name, file):
    path = folder / file
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        for place in (line, line.get("spec", {}), line.get("start", {}).get("spec", {})):
            for key in ("trial", "name"):
                if place.get(key) == "sgd-0000":
                    place[key] = name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for use in (lambda: Protocol(plan, folder), lambda: read_records(folder)):
        with pytest.raises(InvalidInput, match=rf"{file}, line \d+: .* is not a trial name") as raised:
            use()
        assert "\n" not in str(raised.value)


REPORT = {"trial": "sgd-0000", "step": 999, "gradient_evaluations": 1, "seconds": 1.0, "val_loss": 0.1}
TIME = "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("trials.jsonl", 7, "is not an event of a sweep but int"),
        ("trials.jsonl", [], "is not an event of a sweep but list"),
        ("trials.jsonl", None, "is not an event of a sweep but NoneType"),
        ("trials.jsonl", {}, "event is missing"),
        (
            "trials.jsonl",
            {"event": "split", "results": 0, "time": TIME},
            "'split' is unknown: a newer version",
        ),
        ("trials.jsonl", {"event": "run", "results": -1, "time": TIME}, "results is -1"),
        ("trials.jsonl", {"event": "run", "results": True, "time": TIME}, "results is True"),
        ("trials.jsonl", {"event": "run", "results": 0, "time": "noon"}, "time is 'noon'"),
        ("trials.jsonl", {"event": "run", "results": 0, "time": TIME, "versions": 3}, "versions is 3"),
        ("trials.jsonl", {"event": "end", "trial": "x", "results": 0, "time": TIME}, "status is missing"),
        (
            "trials.jsonl",
            {"event": "end", "trial": "x", "status": "won", "results": 0, "time": TIME},
            "the status 'won' is unknown: a newer version",
        ),
        (
            "trials.jsonl",
            {"event": "end", "trial": "x", "status": "failed", "results": 0, "time": TIME},
            "an event of x, which has not started",
        ),
        (
            "trials.jsonl",
            {"event": "fault", "trial": "x", "kind": 3, "results": 0, "time": TIME},
            "kind is 3",
        ),
        ("results.jsonl", REPORT | {"step": "9"}, "step is '9'"),
        ("results.jsonl", REPORT | {"step": 1e99}, "step is 1e+99"),
        ("results.jsonl", REPORT | {"val_loss": "low"}, "val_loss is 'low'"),
        ("results.jsonl", REPORT | {"seconds": None}, "seconds is missing"),
        ("results.jsonl", REPORT | {"start": []}, "start is"),
        ("results.jsonl", REPORT | {"flat_fractions": [0.5]}, "flat_fractions is [0.5], not a table"),
        ("results.jsonl", REPORT | {"flat_fractions": {"w": 0.5}}, "the mask of 'w' is 0.5"),
        ("results.jsonl", REPORT | {"flat_fractions": {"w": ["all", 3]}}, "a share is 'all'"),
        ("results.jsonl", REPORT | {"flat_fractions": {"w": [0.5, 3.5]}}, "a tensor's size is 3.5"),
        ("results.jsonl", "x" * 10, "but str"),
    ],
)
def test_valid_json_that_is_no_event_is_one_clear_line(folder, plan, file, line, told):
    path = folder / file
    with path.open("a") as lines:
        lines.write(json.dumps(line) + "\n")
    for use in (lambda: Protocol(plan, folder), lambda: read_records(folder)):
        with pytest.raises(InvalidInput) as raised:
            use()
        assert told in str(raised.value)
        assert file in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("gone")])
def test_what_has_the_name_of_a_file_but_is_none_is_one_clear_line(folder, make):
    path = folder / "trials.jsonl"
    path.unlink()
    make(path)
    with pytest.raises(InvalidInput, match=r"trials.jsonl: it is not a file"):
        read_records(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"event": NaN}', "\x00" * 20, "{'event': 'run'}", "\xff"])
def test_a_line_that_is_no_json_is_one_clear_line(folder, text):
    with (folder / "trials.jsonl").open("ab") as lines:
        lines.write(text.encode("latin-1") + b"\n")
    with pytest.raises(InvalidInput, match=r"trials.jsonl, line \d+: it was damaged"):
        read_records(folder)


def test_a_spec_of_a_newer_version_is_called_that(folder):
    path = folder / "trials.jsonl"
    path.write_text(path.read_text().replace('"horizon": ', '"gradient_noise": 0.1, "horizon": '))
    with pytest.raises(
        InvalidInput, match=r"cannot read the specification of sgd-0000 .*gradient_noise.*a newer version"
    ):
        read_records(folder)


def test_trials_that_the_plan_does_not_know_are_refused_by_a_resume(folder):
    with pytest.raises(InvalidInput, match=r"sgd-ire-0000 do not match sweep.toml"):
        Protocol(make_plan(**PLAN | {"methods": ("sgd",)}), folder)


def test_half_a_character_in_an_error_breaks_no_report_and_no_export(plan, tmp_path):
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    simulate(plan, tmp_path, fails=("sgd-0001",))
    path = tmp_path / "trials.jsonl"
    path.write_text(path.read_text().replace("RuntimeError: boom", "\\ud800 =\\u001b[31m"))
    for command in ("status", "export"):
        done = CliRunner().invoke(app, [command, str(tmp_path)])
        assert done.exit_code == 0, (command, done.output, done.exception)
        assert "\x1b" not in done.output
    as_markdown(open_experiment(tmp_path)).encode()
    assert "\\ud800 =\\x1b[31m" in (tmp_path / "export" / "trials.csv").read_text()
