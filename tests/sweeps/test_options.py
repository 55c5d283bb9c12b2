"""One entry of the table of options is enough for flags, calls, checks, the command in a report and resumes."""

import inspect
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, get_type_hints

import numpy as np
import pytest
import typer
from rich.console import Console
from simulated import make_plan
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput
from ire.sweeps.command.app import app
from ire.sweeps.command.flags import with_flags
from ire.sweeps.experiments.launch import resume, sweep
from ire.sweeps.plan.changes import FIXED, check_identity, identity
from ire.sweeps.plan.keywords import ResumeOptions, SweepOptions
from ire.sweeps.plan.option import Option, Resume, options_of, takes
from ire.sweeps.plan.options import OPTIONS, PLANNED, RESUMED
from ire.sweeps.records.records import Records


@dataclass(frozen=True, kw_only=True)
class Extra:
    """A table with one option of each kind, as a new one would be written."""

    studies: Annotated[int, Option(help="searches", low=1, resume=Resume(help="more", raised=True))] = 1
    margin: Annotated[float | None, Option(help="nats", inherited="the space's", low=0)] = None
    how: Annotated[str, Option(help="way", choices=("fast", "slow"))] = "fast"
    sizes: Annotated[tuple[int, ...], Option(help="sizes")] = ()
    quiet: Annotated[bool, Option(help="no progress")] = False


EXTRA = options_of(Extra)


def typed(*arguments, **kwargs):
    """What a command with these options passes on, for what is typed."""
    seen = {}
    command = typer.Typer()
    command.command()(with_flags(EXTRA, **kwargs)(lambda **given: seen.update(given)))
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return seen


def test_an_entry_becomes_a_flag_with_its_default():
    assert typed() == {"studies": 1, "margin": None, "how": "fast", "sizes": (), "quiet": False}
    assert typed("--studies", "3", "--sizes", "4, 8", "--quiet", "--margin", "0.5") == {
        **{"studies": 3, "margin": 0.5, "how": "fast", "sizes": [4, 8], "quiet": True}
    }
    assert typed(resume=True)["studies"] is None


def test_an_entry_becomes_a_parameter_of_the_call():
    @takes({name: option.call_default for name, option in EXTRA.items()})
    def call(task, *, console=None, **options):
        return options

    assert str(inspect.signature(call)) == (
        "(task, *, studies=1, margin=None, how='fast', sizes=(), quiet=False, console=None)"
    )
    assert call("digits", studies=2)["studies"] == 2
    with pytest.raises(TypeError, match=r"unknown option of call\(\) 'studdies': did you mean 'studies'"):
        call("digits", studdies=2)


def in_a_call(option, default):
    """The type of an option's value as a caller gives it."""
    kind = option.type
    if option.item is not None:
        kind = Sequence[option.item] | bool if option.usual else Sequence[option.item]
    if option.named:
        kind |= str
    return kind | None if default is None else kind


@pytest.mark.parametrize(
    ("keywords", "options", "default"),
    [(SweepOptions, OPTIONS, "call_default"), (ResumeOptions, RESUMED, "resume_default")],
)
def test_editors_see_the_names_and_types_of_the_table(keywords, options, default):
    assert get_type_hints(keywords) == {
        name: in_a_call(option, getattr(option, default)) for name, option in options.items()
    }


@pytest.mark.slow
def test_a_type_checker_sees_a_wrong_option_of_a_call(tmp_path):
    (tmp_path / "calls.py").write_text(
        "from ire import resume, sweep\n"
        'sweep("digits", methods=["sgd"], trials=8, curve=True, space={"horizon": 4}).report()\n'
        'sweep("digits", trails=8)\n'
        'sweep("digits", trials="8")\n'
        'resume("folder", controls=True, seed=3)\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "calls.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    assert [each["range"]["start"]["line"] + 1 for each in found] == [3, 4, 5], found


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("studies", 0, "--studies 0: must be at least 1"),
        ("studies", "2", "--studies '2': must be a whole number"),
        ("studies", True, "--studies True: must be a whole number"),
        ("margin", float("nan"), "--margin nan: must be a number"),
        ("margin", -0.1, "--margin -0.1: must be at least 0"),
        ("how", "slwo", "--how 'slwo': must be one of fast, slow"),
        ("sizes", (4, 0.5), "--sizes 4, 0.5: must be a list of whole numbers"),
        ("sizes", "4", "--sizes '4': must be a list of whole numbers"),
        ("quiet", 1, "--quiet 1: must be true or false"),
    ],
)
def test_an_entry_refuses_what_it_does_not_allow(name, value, message):
    with pytest.raises(InvalidInput) as error:
        EXTRA[name].check(EXTRA[name].taken(value))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("studies", np.int64(3), 3),
        ("margin", np.float32(0.5), 0.5),
        ("margin", None, None),
        ("sizes", [np.int32(4), 8], (4, 8)),
        ("sizes", None, ()),
    ],
)
def test_values_of_other_libraries_become_pythons_own(name, value, taken):
    found = EXTRA[name].taken(value)
    EXTRA[name].check(found)
    assert found == taken
    assert type(found) is type(taken)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        (PLANNED["trials"], 16, "--trials 16"),
        (PLANNED["seed"], 123456789, "--seed 123456789"),
        (PLANNED["gpus_per_worker"], 1.0, "--gpus-per-worker 1"),
        (PLANNED["gpus_per_worker"], 1 / 3, "--gpus-per-worker 0.3333333333333333"),
        (PLANNED["methods"], ("sgd", "sgd-ire"), "--methods sgd,sgd-ire"),
        (PLANNED["curve"], (0.5, 2.0), "--curve-horizons 0.5,2"),
        (PLANNED["curve"], (), "--no-curve"),
        (PLANNED["share_prefix"], False, "--no-share-prefix"),
        (PLANNED["schedule"], "steps 0.5 / 5", "--schedule 'steps 0.5 / 5'"),
    ],
)
def test_a_value_is_repeated_as_it_is_typed(option, value, words):
    assert option.words(value) == words


@pytest.mark.parametrize(("command", "options"), [("sweep", OPTIONS), ("resume", RESUMED)])
def test_the_command_has_the_flags_of_the_table(command, options):
    (found,) = (c for c in typer.main.get_command(app).commands.values() if c.name == command)
    flags = {flag for parameter in found.params for flag in parameter.opts if flag.startswith("--")}
    expected = {option.dashed for option in options.values() if option.flag}
    assert flags - {"--trust"} == expected | {"--curve-horizons"}


@pytest.mark.parametrize(("call", "options"), [(sweep, OPTIONS), (resume, RESUMED)])
def test_the_call_has_the_parameters_of_the_table(call, options):
    first, *others = inspect.signature(call).parameters
    assert first in ("task", "folder")
    assert set(others) - {"trust"} - {"function"} == {*options, "console"}


def test_a_call_with_an_unknown_option_suggests_the_nearest(tmp_path):
    with pytest.raises(TypeError, match=r"unknown option of sweep\(\) 'trial': did you mean 'trials'"):
        sweep("digits", trial=4)
    with pytest.raises(TypeError, match=r"unknown option of resume\(\) 'seed'"):
        resume(tmp_path, seed=1)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"storage": 3}, "--storage 3: must be text"),
        ({"loggers": "wandb"}, "--loggers 'wandb': must be a list of names"),
        ({"inline": "no"}, "--inline 'no': must be true or false"),
        ({"space": 3}, "--space 3: must be the path of a space file, or a dictionary"),
    ],
)
def test_an_option_outside_of_the_plan_is_checked_too(option, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=message):
        sweep("digits", **option)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("methods", ["sgd", list, 3])
def test_methods_in_one_text_are_refused_and_not_taken_letter_by_letter(methods, tmp_path):
    with pytest.raises(InvalidInput, match=f"--methods {methods!r}: must be a list of names"):
        sweep("digits", methods=methods, storage=tmp_path)


def test_records_that_are_older_than_an_option_agree_with_its_default(tmp_path):
    plan, records = make_plan(), Records(tmp_path)
    older = {name: value for name, value in identity(plan).items() if name not in ("precision", "schedule")}
    records.run(identity=older)
    check_identity(plan, records, source="sweep.toml")
    with pytest.raises(InvalidInput, match="precision was 'fp32', is 'bf16'"):
        check_identity(make_plan(precision="bf16"), records, source="sweep.toml")
    assert {"task", "seed", "precision", "schedule"} <= set(FIXED)


@pytest.mark.parametrize(("candidates", "is_said"), [(1, True), (2, False)])
def test_controls_that_stay_untuned_are_said_before_the_sweep(tmp_path, monkeypatch, candidates, is_said):
    monkeypatch.setattr("ire.sweeps.experiments.launch.run_plan", lambda plan, *_, **__: plan)
    console = Console(file=io.StringIO(), width=200)
    sweep(
        "digits",
        methods=["sgd", "sgd-ire"],
        controls=True,
        candidates=candidates,
        inline=True,
        storage=tmp_path,
        console=console,
    )
    assert ("the controls are not tuned" in console.file.getvalue()) is is_said
