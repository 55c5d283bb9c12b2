"""`ire doctor` says what would fail, with what to do, and exits with 1 for it."""

import re
import shutil
import socket
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

import ire.sweeps.ray.doctor as doctor
from ire.invalid_input import InvalidInput
from ire.sweeps.command.app import app
from ire.sweeps.ray.cluster import connected
from ire.sweeps.ray.group_check import Outcome, check_group


@pytest.fixture(autouse=True)
def no_token(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("trainables.training.compiling.check_compiling", lambda: None)  # takes seconds


def test_the_command_lists_everything_and_finds_nothing_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**40))
    done = CliRunner().invoke(app, ["doctor", "--storage", str(tmp_path)])
    assert done.exit_code == 0, done.output
    for about in ("versions", "GPUs", "NCCL", "compilers", "experiments", "data", "temporary files", "token"):
        assert about in done.output
    assert "torch" in done.output and "all checks passed" in done.output


def test_what_would_fail_is_said_and_the_exit_code_is_1(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    done = CliRunner().invoke(app, ["doctor", "--storage", str(tmp_path)])
    assert done.exit_code == 1
    assert "would fail: experiments: less than 5 GiB are free" in done.output


def test_a_driver_without_a_torch_that_fits_it_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert "trials would run on the CPU" in doctor.gpus().fails
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert doctor.gpus().fails is None


@pytest.mark.parametrize(
    ("free", "error", "told", "fails"),
    [
        (139, None, "NVIDIA H200 140 GiB; CUDA", None),
        (20, None, "NVIDIA H200 140 GiB, 20 free; CUDA", None),
        (
            0,
            RuntimeError("CUDA error: busy or unavailable\nmore"),
            "NVIDIA H200 140 GiB; CUDA",
            "GPU 0 .*busy or unav",
        ),
    ],
)
def test_a_gpu_is_tried_and_its_free_memory_is_told(monkeypatch, free, error, told, fails):
    def ones(*_, device):
        if error:
            raise error
        return plain(2)

    plain = torch.ones
    monkeypatch.setattr(torch, "ones", ones)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    properties = SimpleNamespace(name="NVIDIA H200", total_memory=140 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (free * 2**30, 140 * 2**30))
    found = doctor.gpus()
    assert told in found.text
    assert re.match(fails, found.fails) if fails else found.fails is None


def test_a_machine_without_compilers_is_told_and_fails_nothing(monkeypatch):
    def refuse():
        raise InvalidInput("--compile: torch.compile does not work on this machine: no compiler")

    monkeypatch.setattr("trainables.training.compiling.check_compiling", refuse)
    monkeypatch.setenv("IRE_KERNELS", "0")
    found = doctor.compilers()
    assert found.fails is None
    assert "no compiler; IRE's step on a CPU: several passes" in found.text


@pytest.mark.parametrize(
    ("mode", "has_token", "fails"),
    [
        (None, False, None),
        (None, True, None),
        ("token", True, None),
        ("token", False, "ray get-auth-token --generate"),
        ("disabled", True, "unset RAY_AUTH_MODE"),
    ],
)
def test_a_token_that_is_missing_or_not_shown_is_told_and_never_printed(
    monkeypatch, tmp_path, mode, has_token, fails
):
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    if has_token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("very-secret")
    found = doctor.token()
    assert (found.fails is None) if fails is None else (fails in found.fails)
    assert "very-secret" not in f"{found.text}{found.fails}"


def test_a_folder_that_cannot_be_written_to_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert "cannot be written to" in doctor.disk("experiments", tmp_path / "not" / "there").fails


def test_a_cluster_that_does_not_answer_is_a_finding(monkeypatch):
    def refuse(_):
        raise doctor.InvalidInput("--address 'x:1': no Ray cluster answers there")

    monkeypatch.setattr(doctor, "connected", refuse)
    assert "no Ray cluster answers" in doctor.cluster("x:1", "experiments").fails


def test_an_address_at_which_nothing_listens_is_refused_before_ray_waits_for_it(monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ire.sweeps.ray.cluster.STARTING_SECONDS", 0.0)
    monkeypatch.setattr(
        "ire.sweeps.ray.cluster._join", lambda *_, **__: pytest.fail("it would wait for minutes")
    )
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        message = f"--address '{address}': no Ray cluster answers there .*refused"
        with pytest.raises(InvalidInput, match=message), connected(address):
            pass


def test_workers_that_cannot_meet_are_a_finding_with_their_reason(monkeypatch):
    import ire.sweeps.ray.group_check as group_check

    outcome = Outcome(backend="nccl", error="ncclInvalidUsage: Duplicate GPU detected")
    monkeypatch.setattr(group_check, "check_group", lambda *_: outcome)
    assert "Duplicate GPU" in doctor.group(2).fails


@pytest.mark.slow
def test_two_workers_meet_and_add_up():
    assert check_group(2, gpus=0) == Outcome(backend="gloo", error=None)


@pytest.mark.slow
def test_workers_that_are_too_late_are_told():
    assert "no answer within" in check_group(2, gpus=0, seconds=0.01).error
