"""Whole trials on a GPU: launches and synchronisations of a training step, bitwise repetition, memory held."""

import gc
import weakref

import torch
from gpu_measures import counted, host_ms, queued_ms

import trainables.training.loop as loop
from ire.methods.method import parse_method
from ire.trial.spec import TrialSpec
from search_spaces import find_space
from trainables.gang.out_of_memory import is_out_of_memory
from trainables.task import load_task
from trainables.training.placement import release
from trainables.training.training import Training


def spec_of(task: str, method: str, *, horizon: int, **fields: object) -> TrialSpec:
    """A trial with the published settings of its space, with IRE from the first step on."""
    arm = parse_method(method)
    settings = find_space(task).published(arm) | ({"start_fraction": 0.0} if arm.ire else {})
    fields = {"seed": 0, "eval_interval": horizon} | fields
    return TrialSpec(task=task, method=method, settings=arm.resolve(settings), horizon=horizon, **fields)


def training(device: torch.device, tiny: bool) -> None:
    for name in ("digits", "stdlib-lm"):
        for method in ("adamw", "adamw-ire"):
            trial = Training(load_task(name), spec_of(name, method, horizon=10**6), device=device)
            for _ in range(12):
                trial.advance()
            for due in (False, True) if method.endswith("-ire") else (False,):
                found = counted(trial.advance, device, ready=lambda due=due, trial=trial: _until(trial, due))
                print(
                    f"{name} {method}, {'a refresh' if due else 'a plain step'}: {found.kernels} launches, "
                    f"GPU {found.gpu_ms:.2f} ms, {found.waits.total()} waits {found.places}"
                )
            print(
                f"{name} {method}: host {host_ms(trial.advance, device):.2f} ms, "
                f"queued {queued_ms(trial.advance, device):.2f}",
                flush=True,
            )


def _until(trial: Training, due: bool) -> None:
    """Train until the next step has a refresh, or has none."""
    while getattr(trial.optimizer, "curvature_due", False) != due:
        trial.advance()


def resume(device: torch.device, tiny: bool) -> None:
    horizon = 12 if tiny else 40
    for name, method, fields in (
        ("digits", "adamw-ire", {}),
        ("digits", "sgd-ire", {"deterministic": True}),
        ("stdlib-lm", "adamw-ire", {}),
        ("stdlib-lm", "adamw-ire", {"deterministic": True}),
        ("stdlib-lm", "adamw-ire", {"precision": "bf16", "deterministic": True}),
    ):
        spec = spec_of(name, method, horizon=horizon, **fields)
        ends = [_end(spec, device, at) for at in (None, None, horizon // 2)]
        off = [max(float((a - b).abs().max()) for a, b in zip(ends[0], end, strict=True)) for end in ends[1:]]
        print(
            f"{name} {method} {fields}: twice {off[0]:.1e}, resumed {off[1]:.1e} (0 is bitwise)", flush=True
        )


def _end(spec: TrialSpec, device: torch.device, at: int | None) -> list[torch.Tensor]:
    task = load_task(spec.task)
    with loop.determinism(spec.deterministic):
        trial = Training(task, spec, device=device)
        for number in range(1, spec.horizon + 1):
            trial.advance()
            if number == at:
                trial.report()
                state = trial.state_dict()
                trial = Training(task, spec, device=device)
                trial.load_state_dict(state)
        return [p.detach().cpu().clone() for p in trial.model.parameters()]


def memory(device: torch.device, tiny: bool) -> None:
    alive: list[weakref.ref] = []

    class Watched(Training):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            alive.append(weakref.ref(self.model))

    plain, loop.Training = loop.Training, Watched
    task, held = load_task("digits"), []
    try:
        for seed in range(4 if tiny else 20):
            loop.train(
                spec_of("digits", "adamw-ire", horizon=4, seed=seed),
                lambda *_: True,
                task=task,
                device=device,
            )
            release()
            held.append((_mib(device), sum(reference() is not None for reference in alive)))
        print("MiB held and models alive after each trial:", held)
        if device.type == "cuda":
            _out_of_memory(device)
    finally:
        loop.Training = plain
        gc.collect()


def _out_of_memory(device: torch.device) -> None:
    """A trial whose batch cannot fit into memory, and the one after it."""
    task = load_task("stdlib-lm")
    task.batch_size = 2**22
    try:
        loop.train(spec_of("stdlib-lm", "adamw", horizon=2), lambda *_: True, task=task, device=device)
        print("a batch of four million windows fits")
    except Exception as error:
        print("out of memory:", is_out_of_memory(error))
    release()
    task.batch_size = 16
    status = loop.train(spec_of("stdlib-lm", "adamw", horizon=2), lambda *_: True, task=task, device=device)
    print(f"{_mib(device)} MiB held after it; the next trial: {status}")


def _mib(device: torch.device) -> int:
    return round(torch.cuda.memory_allocated(device) / 2**20) if device.type == "cuda" else 0
