"""Measures the cost of a mask refresh: the exact radix selection against topk, kthvalue and sort of all values.

    python benchmarks/mask_refresh.py [--rounds 7] [--threads 1]

Also times the whole training step of a small language model with a refresh every 10 steps, for each curvature source.
"""

import argparse
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from optimizer_step import GAMMA, KAPPA, MODELS, clock, quartiles, scratch
from torch import Tensor, nn

from ire.optim import IRE, sampled_nll
from ire.optim.mask.flattest import flattest


def timed(run: Callable[[], object]) -> float:
    begin = clock()
    run()
    return clock() - begin


def by_topk(scores: list[Tensor]) -> list[Tensor]:
    squares = [s**2 for s in scores]
    everything = torch.cat([s.flatten() for s in squares])
    threshold = torch.topk(everything, int(everything.numel() * (1 - GAMMA))).values[-1]
    return [s <= threshold for s in squares]


def by_kthvalue(scores: list[Tensor]) -> list[Tensor]:
    magnitudes = [s.abs() for s in scores]
    everything = torch.cat([s.flatten() for s in magnitudes])
    threshold = everything.kthvalue(math.floor(GAMMA * everything.numel())).values
    return [s <= threshold for s in magnitudes]


def refreshes(rounds: int) -> None:
    """The exact mask of a set of gradients, with 96 % zeros in the embedding, as in a Transformer."""
    for model, shapes in MODELS.items():
        torch.manual_seed(0)
        scores = [torch.randn(s) * torch.rand(()) for s in shapes()]
        if model == "llama":
            scores[0][torch.rand(32000) < 0.96] = 0
        count = sum(s.numel() for s in scores)
        wanted = math.floor(GAMMA * count)
        masks = [torch.empty_like(s, dtype=torch.uint8) for s in scores]

        def radix(scores=scores, wanted=wanted, masks=masks) -> list[Tensor]:
            return flattest(scores, wanted, into=masks)

        print(f"\n{model}, {count / 1e6:.1f} M coordinates, gamma {GAMMA}")
        titles = ("ns/coordinate", "x radix [quartiles]", "scratch B/p")
        print(f"{'':12s} {titles[0]:>20s} {titles[1]:>22s} {titles[2]:>12s} share")
        radix()
        own = [timed(radix) for _ in range(rounds)]
        per = 1e9 / count
        print(
            f"{'radix':12s} {quartiles([t * per for t in own]):>20s} {'':>22s} {scratch(radix, count):12.3f} "
            f"{sum(int(m.sum()) for m in masks) / count:10.6f}"
        )
        for name, other in {"topk": by_topk, "kthvalue": by_kthvalue}.items():
            run = lambda other=other, scores=scores: other(scores)  # noqa: E731
            times = [(timed(radix), timed(run)) for _ in range(max(3, rounds // 2))]
            share = sum(int(m.sum()) for m in run()) / count
            print(
                f"{name:12s} {quartiles([b * per for _, b in times]):>20s} "
                f"{quartiles([b / a for a, b in times]):>22s} {scratch(run, count):12.3f} {share:10.6f}",
                flush=True,
            )


class LanguageModel(nn.Module):
    """A small Transformer: 5 M parameters, 8 sequences of 128 tokens, 4096 words."""

    def __init__(self, vocabulary: int = 4096, width: int = 256, layers: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        causal = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.head(self.body(self.embedding(tokens), causal, is_causal=True))


def training(rounds: int, compiled: bool, interval: int = 10) -> None:
    """The cost of `interval` steps with one refresh, relative to as many steps of fused AdamW.

    It is combined from steps with and without a refresh, timed in turns with plain ones, in processor seconds:
    on a shared machine, changes of speed would hide a few per cent.
    """
    torch.manual_seed(0)
    tokens = torch.randint(0, 4096, (8, 129))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]

    def step(model: nn.Module, optimizer, source: str) -> float:
        begin = clock()
        due = getattr(optimizer, "curvature_due", False)
        if due and source in ("sampled", "subbatch"):
            rows = inputs if source == "sampled" else inputs[: len(inputs) // 4]
            sampled_nll(model(rows)).backward()
            optimizer.update_mask()
        logits = model(inputs)
        if due and source == "reuse":
            optimizer.update_mask(sampled_nll(logits))
        F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
        return clock() - begin

    def adamw(model: nn.Module) -> torch.optim.AdamW:
        return torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    plain_model = LanguageModel()
    plain = adamw(plain_model)
    count = sum(p.numel() for p in plain_model.parameters())
    how = "compiled" if compiled else "eager"
    print(f"\nwhole training step, {count / 1e6:.1f} M parameters, K={interval}, optimizer step {how}")
    for source in ("sampled", "reuse", "subbatch", "empirical", "second_moment"):
        model = LanguageModel()
        optimizer = IRE(
            adamw(model), kappa=KAPPA, gamma=GAMMA, curvature=source, interval=2, compile=compiled
        )
        for _ in range(3):  # ends before a step with a refresh
            step(model, optimizer, source), step(plain_model, plain, "none")
        if source != "second_moment":
            step(model, optimizer, source)
        ratios = []
        for _ in range(rounds):
            base = step(plain_model, plain, "none")
            due, other = (step(model, optimizer, source) for _ in range(2))
            base = (base + step(plain_model, plain, "none")) / 2
            ratios.append((due + (interval - 1) * other) / (interval * base))
        print(f"{source:14s} {quartiles(ratios):>20s}", flush=True)
    print(f"processor seconds a plain step: {step(plain_model, plain, 'none'):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=["refresh", "training"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} CPU thread(s)")
    if arguments.only != "training":
        refreshes(arguments.rounds)
    if arguments.only != "refresh":
        for compiled in (False, True):
            training(arguments.rounds, compiled)


if __name__ == "__main__":
    main()
