"""Tokens a second of Llama-60M in bf16: the loop of nanoGPT against ours, on the same model and synthetic tokens."""

import gc
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gpu_measures import counted, peak_mib, queued_ms
from gpu_trials import spec_of
from torch import Tensor, nn
from torch.nn import functional as F

from ire import IRE
from trainables.data.folder import data_in
from trainables.data.store import write_store
from trainables.task import Task, load_task
from trainables.training.training import Training


def llama(device: torch.device, tiny: bool) -> None:
    name = "wikitext103-llama60m" + ("@tiny" if tiny else "")
    with tempfile.TemporaryDirectory(prefix="ire-gpu-") as folder, data_in(folder):
        _write_tokens(Path(folder) / "wikitext103")
        task = load_task(name)
        tokens = task.batch_size * task.context
        for title, make in {
            "nanoGPT's loop, compiled": lambda: plain(task, device, compiled=True),
            "ours, adamw, compiled": lambda: ours(task, name, "adamw", device, compiled=True),
            "ours, adamw-ire, compiled": lambda: ours(task, name, "adamw-ire", device, compiled=True),
            "nanoGPT's, IRE of moments": lambda: plain(task, device, compiled=True, wrap=of_moments),
            "nanoGPT's loop": lambda: plain(task, device, compiled=False),
            "ours, adamw": lambda: ours(task, name, "adamw", device, compiled=False),
            "ours, adamw-ire": lambda: ours(task, name, "adamw-ire", device, compiled=False),
        }.items():
            step = make()
            for _ in range(12):  # with IRE one of them has a refresh
                step()
            ms = queued_ms(step, device, 3 if tiny else 20, 1 if tiny else 3)
            found = counted(step, device) if device.type == "cuda" else None
            line = f"{title:26} {tokens / ms * 1e3:12,.0f} tokens/s, {ms:.2f} ms"
            if found is not None:
                line += (
                    f", GPU {found.gpu_ms:.2f} ms in {found.kernels} launches, {found.waits.total()} waits"
                )
            print(f"{line}, peak {peak_mib(step, device):,.0f} MiB", flush=True)
            step = None
            gc.collect()


def _write_tokens(folder: Path) -> None:
    folder.mkdir(parents=True)
    draws = np.random.default_rng(0)

    def tokens(count: int) -> np.ndarray:
        return np.minimum(draws.zipf(1.2, count), 50256).astype(np.uint16)

    splits = {"train": tokens(2_000_000), "validation": tokens(200_000), "test": tokens(200_000)}
    write_store(folder, splits, vocabulary=50257, tokenizer="synthetic")


class WithLoss(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, text: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.model(text).flatten(0, 1), targets.flatten())


def of_moments(base: torch.optim.Optimizer) -> IRE:
    """IRE whose curvature costs no backward: AdamW's own second moments, every ten steps."""
    return IRE(base, kappa=4.0, gamma=0.6, curvature="second_moment", interval=10)


def plain(
    task: Task, device: torch.device, *, compiled: bool, wrap: Callable = lambda base: base
) -> Callable[[], None]:
    """As in nanoGPT: the loss inside the compiled model, pinned batches, one ahead, fused AdamW."""
    torch.manual_seed(0)
    inner = WithLoss(task.model().to(device))
    model = torch.compile(inner) if compiled else inner
    optimizer = torch.optim.AdamW(
        inner.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    optimizer = wrap(optimizer)
    stream = task.train_batches(seed=0, start=0)

    def fetched() -> tuple[Tensor, Tensor]:
        window = next(stream)[0].long()
        parts = window[:, :-1].contiguous(), window[:, 1:].contiguous()
        if device.type != "cuda":
            return parts
        return tuple(part.pin_memory().to(device, non_blocking=True) for part in parts)

    held = [fetched()]

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = model(*held[0])
        held[0] = fetched()
        loss.backward()
        nn.utils.clip_grad_norm_(inner.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def ours(task: Task, name: str, method: str, device: torch.device, *, compiled: bool) -> Callable[[], None]:
    spec = spec_of(name, method, horizon=10**9, precision="bf16", compile=compiled)
    return Training(task, spec, device=device).advance
