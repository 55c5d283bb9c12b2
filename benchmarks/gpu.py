"""Measures the project on a GPU, in stages that print a few lines each.

`--device cpu --tiny` runs all of them anywhere.

    python benchmarks/gpu.py STAGE ... [--device cuda] [--tiny]

machine   copies, products, launches: the units for the other stages
exact     the masks of the GPU against those of the CPU
step      every way of stepping, on the shapes of Llama-60M and -229M, against torch's fused AdamW
refresh   a new mask: by our kernels, and by a sort
training  launches and waits of a whole training step, refresh and report apart
resume    whether a repeated trial and a resumed one are bitwise the same
memory    the memory of a worker after each of many trials, and after one that ran out of memory
llama     tokens a second beside nanoGPT's loop on the same model
"""

import argparse
import gc
import time
import traceback
from collections.abc import Callable, Sequence

import gpu_llama
import gpu_trials
import torch
from gpu_measures import counted, host_ms, peak_mib, queued_ms, synchronise
from torch import Tensor, nn

from ire import IRE
from ire.optim.mask.flattest import flattest
from ire.optim.steps.measured import Measured

KAPPA, GAMMA = 3.0, 0.6


def machine(device: torch.device, tiny: bool) -> None:
    size, side = (2**20, 256) if tiny else (2**30, 8192)
    print("torch", torch.__version__, torch.cuda.get_device_name() if device.type == "cuda" else "CPU")
    a = torch.randn(size, device=device)
    b = torch.empty_like(a)
    print(f"copy {2 * a.nbytes / queued_ms(lambda: b.copy_(a), device, 10) / 1e9:.2f} TB/s")
    m = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    print(f"bf16 product {2 * side**3 / queued_ms(lambda: m @ m, device, 10) / 1e9:.2f} TFLOP/s")
    small = torch.zeros(8, device=device)
    print(f"launch {1e3 * queued_ms(lambda: small.add_(1), device, 1000):.1f} us")
    print(f".item() {1e3 * host_ms(small[0].item, device, 50):.1f} us")


def llama_shapes(
    layers: int, dim: int, mlp: int, inner: int, *, tied: bool, words: int = 50304
) -> list[tuple]:
    layer = [(inner, dim)] * 3 + [(dim, inner), (mlp, dim), (mlp, dim), (dim, mlp), (dim,), (dim,)]
    return [(words, dim), *(layer * layers), (dim,)] + ([] if tied else [(words, dim)])


def models(tiny: bool) -> dict[str, list[tuple]]:
    if tiny:
        return {"tiny": llama_shapes(2, 16, 32, 16, tied=True, words=4096)}
    return {
        "llama 60M": llama_shapes(16, 410, 1472, 400, tied=True),
        "llama 229M": llama_shapes(16, 768, 3072, 768, tied=False),
    }


def exact(device: torch.device, tiny: bool) -> None:
    torch.manual_seed(1)
    rows = 300 if tiny else 8000
    for name, scores in {
        "normal": [torch.randn(rows, 700), torch.randn(7)],
        "bf16, many ties": [torch.randn(rows, 700).bfloat16(), torch.randn(7).bfloat16()],
        "96 % zeros": [torch.randn(rows, 700) * (torch.rand(rows, 1) > 0.96)],
        "all equal": [torch.ones(rows, 700)],
    }.items():
        count = int(GAMMA * sum(s.numel() for s in scores))
        here, there = flattest(scores, count), flattest([s.to(device) for s in scores], count)
        same = all(torch.equal(a, b.cpu()) for a, b in zip(here, there, strict=True))
        print(f"mask of {name}: {'equal to the CPU' if same else 'DIFFERS FROM THE CPU'}")


def base_of(shapes: Sequence[tuple], device: torch.device, kind: torch.dtype, **how: bool):
    torch.manual_seed(0)
    ps = [nn.Parameter((torch.randn(s, device=device) * 0.02).to(kind)) for s in shapes]
    for p in ps:
        p.grad = torch.randn_like(p)
    base = torch.optim.AdamW(ps, lr=1e-4, weight_decay=0.1, **how)
    base.step()
    return base


def boosted(base: torch.optim.Optimizer, *, measured: bool = False, compile: bool = False) -> IRE:
    optimizer = IRE(base, kappa=KAPPA, gamma=GAMMA, curvature="random", interval=10**9, compile=compile)
    if measured:
        path = Measured(compile=compile)
        optimizer._boosted_step.of_bases[0].best = lambda _: path
    optimizer.step()
    optimizer.step()
    return optimizer


def step(device: torch.device, tiny: bool) -> None:
    for kind in (torch.float32, torch.bfloat16):
        for name, shapes in models(tiny).items():
            count = sum(torch.Size(s).numel() for s in shapes)
            print(f"{name}, {kind}: {count / 1e6:.1f} M coordinates in {len(shapes)} tensors")
            _steps(shapes, device, kind)


def _steps(shapes: Sequence[tuple], device: torch.device, kind: torch.dtype) -> None:
    made: dict[str, Callable] = {
        "fused AdamW": lambda: base_of(shapes, device, kind, fused=True),
        "foreach AdamW": lambda: base_of(shapes, device, kind, foreach=True),
        "IRE": lambda: boosted(base_of(shapes, device, kind, fused=True)),
        "IRE, measured": lambda: boosted(base_of(shapes, device, kind, fused=True), measured=True),
    }
    reference = None
    for title, make in made.items():
        optimizer = make()
        queued = queued_ms(optimizer.step, device)
        reference = reference or queued
        found = counted(optimizer.step, device)
        print(
            f"  {title:15} {getattr(optimizer, 'path', ''):9} host {host_ms(optimizer.step, device):7.2f} ms, "
            f"queued {queued:7.2f} ({queued / reference:.2f}x), GPU {found.gpu_ms:6.2f} in {found.kernels} "
            f"launches, {found.waits.total()} waits {found.places}, scratch "
            f"{peak_mib(optimizer.step, device):.0f} MiB",
            flush=True,
        )
        optimizer = None
        gc.collect()


def refresh(device: torch.device, tiny: bool) -> None:
    for name, shapes in models(tiny).items():
        torch.manual_seed(0)
        scores = [torch.randn(s, device=device) * 0.01 for s in shapes]
        scores[0][torch.rand(len(scores[0]), device=device) < 0.5] = 0
        for title, run in _refreshes(scores, int(GAMMA * sum(s.numel() for s in scores))).items():
            found = counted(run, device)
            print(
                f"{name} {title:9} {queued_ms(run, device, 3):8.2f} ms, GPU {found.gpu_ms:.2f} in {found.kernels} "
                f"launches, {found.waits.total()} waits {found.places}, peak {peak_mib(run, device):.0f} MiB",
                flush=True,
            )


def _refreshes(scores: list[Tensor], count: int) -> dict[str, Callable[[], object]]:
    """Ways to compute the mask of the `count` smallest; the last one breaks no ties."""
    masks = flattest(scores, count)

    def together() -> Tensor:
        return torch.cat([s.abs().flatten() for s in scores])

    def below(edge: Tensor) -> list[Tensor]:
        return [s.abs() <= edge for s in scores]

    return {
        "ours": lambda: flattest(scores, count, into=masks),
        "sort": lambda: below(together().sort().values[count - 1]),
    }


STAGES: dict[str, Callable[[torch.device, bool], None]] = {
    "machine": machine,
    "exact": exact,
    "step": step,
    "refresh": refresh,
    "training": gpu_trials.training,
    "resume": gpu_trials.resume,
    "memory": gpu_trials.memory,
    "llama": gpu_llama.llama,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="+", choices=[*STAGES])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    device, failed = torch.device(options.device), False
    for name in options.stages:
        began = time.perf_counter()
        print(f"\n== {name}", flush=True)
        try:
            STAGES[name](device, options.tiny)
        except Exception:
            traceback.print_exc()
            failed = True
        synchronise(device)
        print(f"-- {name}: {time.perf_counter() - began:.0f} s", flush=True)
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
