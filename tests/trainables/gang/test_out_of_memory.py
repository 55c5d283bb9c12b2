"""A trial that runs out of memory fails with advice; its worker stays, and trains the next."""

import contextlib
import gc
import sys
import weakref
from types import SimpleNamespace

import pytest
import torch

import trainables.gang.serving as gang
from ire.trial.spec import TrialSpec
from trainables.functions.function import as_function
from trainables.gang.out_of_memory import advice, is_out_of_memory, lacks_memory


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8 GiB."), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_only_a_failed_allocation_counts(error, is_one):
    assert is_out_of_memory(error) == is_one


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("Triton Error [CUDA]: out of memory", True),
        ("CUDA error: an illegal memory access was encountered", False),
    ],
)
def test_what_cuda_cannot_allocate_by_itself_gets_the_advice_and_a_new_gang(text, is_one):
    assert lacks_memory(RuntimeError(text)) == is_one and not is_out_of_memory(RuntimeError(text))


def test_the_advice_names_the_next_number_of_micro_batches_and_the_cause(make_spec):
    text = advice(torch.OutOfMemoryError("CUDA out of memory.\nmore"), make_spec(micro_batches=4))
    assert "--micro-batches 8" in text and "CUDA out of memory." in text and "more" not in text


class Trials:
    """A mailbox with a job for each spec, and a messenger that keeps what it is given."""

    def __init__(self, monkeypatch, specs, workers=1):
        self.ends, jobs = [], [(n, job_of(spec)) for n, spec in enumerate(specs, 1)] + [None]
        context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: workers)
        train = SimpleNamespace(get_context=lambda: context)
        monkeypatch.setattr(gang, "ray", SimpleNamespace(get=lambda value: value, train=train))
        monkeypatch.setattr(gang, "get_device", lambda: torch.device("cpu"))
        monkeypatch.setattr(gang, "Messenger", lambda *_, **__: self)
        monkeypatch.setattr(gang, "load_workload", lambda *_: None)
        monkeypatch.setattr(gc, "freeze", lambda: None)
        self.take = SimpleNamespace(remote=lambda finished: jobs.pop(0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    storage_error = prefix = None

    def flush(self, error=None, *, gang_is_well=False):
        self.ends.append((error, gang_is_well))


def job_of(spec):
    names = ("checkpoint", "checkpoint_seconds", "keep_last", "prefixes", "hang_seconds")
    return {"spec": spec.to_dict()} | dict.fromkeys(names)


def test_the_next_trial_runs_in_the_same_worker_and_nothing_of_the_dead_one_is_left(monkeypatch, make_spec):
    held = []

    def train(_, spec, *__, **___):
        gc.collect()
        assert not any(reference() is not None for reference in held)
        weights = torch.zeros(3)
        held.append(weakref.ref(weights))
        if spec.seed == 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return gang.STOPPED if spec.seed == 2 else "finished"

    monkeypatch.setattr(gang, "run_trial", train)
    trials = Trials(monkeypatch, [make_spec(seed=seed) for seed in (0, 1, 2)])
    gang._serve(trials, [])
    (error, is_well), last = trials.ends
    assert "--micro-batches 2" in error and "Traceback" in error and is_well
    assert last == (None, False) and len(held) == 3


def test_a_function_that_exits_fails_its_trial_and_is_no_lost_worker(monkeypatch):
    def train(trial):
        sys.exit(3)

    trials = Trials(
        monkeypatch,
        [TrialSpec(task="train.py:train", method="mine", settings={}, seed=0, horizon=4, eval_interval=2)],
    )
    monkeypatch.setattr(gang, "load_workload", lambda *_: as_function(train))
    gang._serve(trials, [])
    ((error, _),) = trials.ends
    assert "train, after step 0, called sys.exit(3); raise an exception to fail the trial" in error


@pytest.mark.parametrize(
    ("workers", "error"),
    [
        (2, torch.OutOfMemoryError("CUDA out of memory.")),
        (1, RuntimeError("CUDA error: out of memory")),
    ],
)
def test_the_advice_is_given_where_the_gang_ends_too(monkeypatch, make_spec, workers, error):
    def train(*_, **__):
        raise error

    def leave(code):
        raise SystemExit(code)

    monkeypatch.setattr(gang, "run_trial", train)
    monkeypatch.setattr(gang, "_from_worker_0", lambda value, size: value)
    monkeypatch.setattr(gang.os, "_exit", leave)
    trials = Trials(monkeypatch, [make_spec()], workers=workers)
    with contextlib.suppress(SystemExit):
        gang._serve(trials, [])
    ((text, is_well),) = trials.ends
    assert text.startswith("out of memory with --micro-batches 1") and not is_well


def test_any_other_error_ends_the_gang(monkeypatch, make_spec):
    def train(*_, **__):
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(gang, "run_trial", train)
    trials = Trials(monkeypatch, [make_spec(), make_spec()])
    gang._serve(trials, [])
    ((error, is_well),) = trials.ends
    assert "device-side assert" in error and not is_well
