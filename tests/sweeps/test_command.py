"""The command line: bad input, and what works where Ray and Optuna are not installed."""

import json
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput
from ire.methods.ire import CONTROLS
from ire.methods.method import all_methods
from ire.sweeps.command.app import app
from ire.sweeps.ray.cluster import Node

WITHOUT_RAY_AND_OPTUNA = """
import sys
for name in ("ray", "optuna", "pandas", "matplotlib"):
    sys.modules[name] = None
sys.argv = ["ire", *{arguments!r}]
from ire.sweeps.command import main
main()
"""


def ire(*arguments: str, without_ray: bool = False, cwd=None) -> subprocess.CompletedProcess:
    code = "from ire.sweeps.command import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    if without_ray:
        command = [sys.executable, "-c", WITHOUT_RAY_AND_OPTUNA.format(arguments=list(arguments))]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd, check=False)


def invoke(*arguments: str):
    """In this process: fast; a user's mistake comes back as the exception that `main` turns into one line."""
    return CliRunner().invoke(app, list(arguments))


def test_train_runs_where_ray_and_optuna_are_not_installed(tmp_path, monkeypatch):
    done = ire(
        *("train", "digits", "sgd-ire", "--set", "lr=0.05", "--set", "kappa=2", "--horizon", "24", "--json"),
        *("--checkpoint", "trial.pt", "--test"),
        without_ray=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["step"] for r in reports] == [8, 16, 24]
    assert reports[-1]["kappa"] == 2.0
    assert "test_accuracy" in reports[-1]
    monkeypatch.chdir(tmp_path)
    again = invoke("train", "digits", "sgd", "--horizon", "24", "--checkpoint", "trial.pt")
    assert isinstance(again.exception, InvalidInput)
    assert "the checkpoint belongs to another trial: method 'sgd-ire', now 'sgd'" in str(again.exception)


def test_one_line_on_stderr_and_exit_code_2():
    done = ire("methods", "adamw-ira")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("ire: unknown method 'adamw-ira'")
    assert "did you mean 'adamw-ire'?" in line


SPACE = """
horizon = 100
eval_interval = 10
[search]
trials = 4
rungs = [30]
[confirm]
seeds = 1
[sgd]
lr = { log = [0.01, 1.0], published = 0.1 }
[ire]
kappa = 1.0
gamma = 0.9
start_fraction = 0.5
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "digit"], "unknown task 'digit': did you mean 'digits'?"),
        (
            ["sweep", "digits", "--methods", "sgd,adamw-ira"],
            "unknown method 'adamw-ira': did you mean 'adamw-ire'?",
        ),
        (["sweep", "digits", "--methods", "sgd,,sgd"], "names 'sgd' twice"),
        (["sweep", "digits", "--methods", ""], "--methods is empty"),
        (["sweep", "digits", "--trials", "0"], "--trials 0: must be at least 1"),
        (
            ["sweep", "digits", "--workers", "64", "--cpus-per-worker", "64"],
            "a trial needs 64 workers x 64 CPU",
        ),
        (["sweep", "digits", "--workers", "5"], "--workers 5: must divide the batch of digits, 64 examples"),
        (["sweep", "digits", "--cpus-per-worker", "4096"], "so no trial could ever start"),
        (["sweep", "digits", "--name", "../up"], "--name '../up': must be"),
        (["sweep", "digits", "--name", "taken"], "exists: choose another --name"),
        (["sweep", "digits", "--storage", "file"], "is not a writable folder"),
        (["sweep", "digits", "--storage", "ftp://host/runs"], "not a storage that pyarrow can open"),
        (["sweep", "digits", "--space", "none.toml"], "--space 'none.toml': there is no such file"),
        (["sweep", "none.toml"], "'none.toml': there is no such file"),
        (["sweep", "digits", "--scale", "tiny"], "unknown scale 'tiny' in digits.toml: there is none"),
        (["sweep", "digits", "--methods", "sgd,sgd"], "names 'sgd' twice; name it once"),
        (["sweep", "digits", "--methods"], "sweep --help` shows what is allowed"),
        (["sweep", "digits", "--methods", "sub/my_lab.py:Mine-ire"], "and name it my_lab:Mine-ire"),
        (["sweep", "digits", "--curve-horizons", "0"], "--curve-horizons 0: must be distinct factors"),
        (
            ["sweep", "digits", "--space", "space.toml"],
            "first rung 30 is not after the latest start of sgd-ire",
        ),
        (["sweep", "nowhere.tasks:Mine"], "cannot import 'nowhere.tasks'"),
        (["train", "digits", "sgd", "--seed", "-1"], "--seed -1: must be a whole number from 0 to"),
        (["train", "digits", "sgd", "--threads", "-2"], "--threads -2: must be a whole number from 1"),
        (["train", "digits", "sgd", "--set", "lr"], "--set 'lr': must be NAME=VALUE"),
        (["train", "digits", "sgd", "--set", "lr=fast"], "lr = 'fast' in --set: must be a number"),
        (["train", "digits", "sgd", "--set", "lr=0.1", "--set", "lr=0.2"], "--set lr is given twice"),
        (["train", "digits", "sgd", "--set", "kappa=2"], "unknown setting of sgd 'kappa'"),
        (["train", "digits", "sgd", "--set", "lr=-1"], "lr = -1 in --set: must be a number in"),
        (["train", "digits", "sgd", "--device", "gpu9"], "--device 'gpu9'"),
        (["train", "digits", "sgd", "--device", "cuda:99"], "--device 'cuda:99'"),
        (["train", "digits", "sgd", "--device", "meta"], "--device 'meta'"),
        (["sweep", "digits", "--storage", "s3://"], "'s3://' names no bucket"),
        (["train", "digits", "sgd", "--schedule", "steps nan / 5"], "shares rise between 0 and 1"),
        (
            ["train", "digits", "sgd", "--set", "schedule=cosin"],
            "schedule = 'cosin' in --set: must be cosine, linear",
        ),
        (["train", "digits", "sgd", "--horizon", "0"], "horizon = 0"),
        (["train", "digits", "sgd", "--horizon", "x"], "'--horizon': 'x', must be a whole number"),
        (["doctor", "--workers", "x"], "'--workers': 'x', must be a whole number"),
        (["doctor", "--workers", "0"], "--workers 0: must be at least 1"),
        (
            ["train", "digits", "sgd", "--precision", "fp8"],
            "precision = 'fp8': must be one of fp32, tf32, bf16",
        ),
        (["spaces", "digit"], "unknown task 'digit': did you mean 'digits'?"),
        (["train", "digit", "sgd"], "unknown task 'digit': did you mean 'digits'?"),
        (["spaces", "trainables.tasks.digits:Digits"], "has no search space: "),
        (["status", "s3://"], "'s3://' names no bucket"),
        (["train", "digits", "sgd", "--device", "mps"], "cannot be used here"),
        (["train", "digits", "sgd", "--checkpoint", __file__], "is a file; name a folder"),
        (["train", "digits", "sgd", "--checkpoint", "file/below"], "cannot be written to (Not a directory)"),
        (["status", "nothing"], "is not an experiment folder"),
        (["resume", "nothing"], "is not an experiment folder"),
        (["report", "taken"], "is not an experiment folder"),
        (["tensorboard", "nothing"], "is not an experiment folder"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ire.sweeps.experiments.places.this_machine", lambda: [Node(cpus=8, gpus=0)])
    (tmp_path / "experiments" / "taken").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "space.toml").write_text(SPACE)
    before = sorted(tmp_path.rglob("*"))
    result = invoke(*arguments)
    assert isinstance(result.exception, InvalidInput), result.output
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_mistyped_task_of_a_method_is_named_before_anything_is_shown():
    result = invoke("methods", "adamw", "--task", "digit")
    assert "did you mean 'digits'?" in str(result.exception)
    assert result.stdout == ""


def test_listings_name_everything():
    listed = {name: invoke(name).output for name in ("tasks", "methods")}
    assert "digits" in listed["tasks"]
    assert "stdlib-lm" in listed["tasks"]
    for method in all_methods().values():
        own_row = not (method.sam or method.ire)
        assert (f" {method.name} " in listed["methods"]) == own_row
    assert "sam-: SAM around the base" in listed["methods"]
    assert all(f"-{name} " in listed["methods"] for name in CONTROLS)
    shown = invoke("spaces", "digits").output
    assert "log [0.01, 1]" in shown
    assert "start_fraction" in shown


def test_listings_do_not_wait_for_torch():
    code = "import sys; sys.modules['torch'] = None; sys.argv[1:] = ['methods']\n"
    code += "from ire.sweeps.command import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "sgd-ire" in done.stdout


def test_one_method_is_shown_with_its_settings_ranges_and_groups():
    shown = invoke("methods", "mine=torch:NAdam-ire", "--task", "stdlib-lm").output
    assert "IRE around torch.optim:NAdam" in shown
    assert "default of betas" in shown
    assert "stdlib-lm.toml has no table for mine, which searches lr 1 decade" in shown
    assert "all: 29 tensors" in shown
    soap = invoke("methods", "soap", "--task", "digits").output
    assert "which searches lr in default ranges around published values from Vyas et al. 2024" in soap
    groups = invoke("methods", "muon", "--task", "stdlib-lm").output
    assert "matrices: 8 tensors, 98,304 numbers" in groups
    assert "embeddings: 2 tensors, 20,480 numbers" in groups
    assert "blocks.*.linear1.weight (2)" in groups, "names that differ in numbers alone are one"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("sweep", "digits", "--tirals", "3"),
            r"no such option: --tirals .*--trials.*; `\S+ sweep --help` shows",
        ),
        (("swep", "digits"), r"no such command 'swep'.*did you mean 'sweep'"),
        (("sweep", "digits", "--trials", "few"), r"invalid value for '--trials': 'few', must be a whole"),
        (("status",), r"missing argument 'folder'"),
    ],
)
def test_what_is_mistyped_is_one_line(arguments, line):
    told = invoke(*arguments).exception
    assert isinstance(told, InvalidInput)
    assert re.search(line, str(told), re.IGNORECASE)
    assert "\n" not in str(told)


def test_without_a_command_there_is_help():
    shown = invoke()
    assert shown.exit_code == 2
    assert "Usage" in shown.output


def commands(command=None, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    """Every command, groups and their members included, by the words that call it."""
    command = command or typer.main.get_command(app)
    members = getattr(command, "commands", {}).items()
    found = {path: command}
    for name, member in members:
        found |= commands(member, (*path, name))
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_help_shows_the_whole_text_of_a_command_and_of_each_of_its_options(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    command = commands()[path]
    shown = re.sub(r"[\s│]", "", invoke(*path, "--help").output)
    texts = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    for text in filter(None, texts):
        assert re.sub(r"\s", "", text.replace(r"\[", "[")) in shown


def test_a_task_without_a_method_is_refused():
    assert "also name a method" in str(invoke("methods", "--task", "digits").exception)


@pytest.mark.parametrize(
    ("typed", "completed"), [("ire sw", "sweep"), ("ire sweep digits --inl", "--inline")]
)
def test_the_shell_completes_commands_and_options(typed, completed):
    asked = {"_IRE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    shown = CliRunner().invoke(app, [], prog_name="ire", env=asked)
    assert completed in shown.output.split()


@pytest.mark.parametrize(
    "words",
    [
        ["report", "x", "--output"],
        ["verdict"],
        ["list"],
        ["train", "digits", "sgd", "--checkpoint"],
        ["data", "prepare", "cifar10", "--from"],
    ],
)
def test_a_uri_where_a_path_is_taken_is_refused_and_makes_no_folder(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*words, "s3://bucket/x"])
    assert str(result.exception) == "'s3://bucket/x': must be a path on this machine, not a URI"
    assert not list(tmp_path.iterdir())
