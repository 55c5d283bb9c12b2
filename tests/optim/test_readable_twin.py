"""The fast optimizer and the forty lines that one would teach, step by step: the same masks, the same weights."""

import importlib.util
import pathlib
import runpy

import pytest
import torch
from torch import nn

import ire
from ire import sampled_nll

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "ire_in_40_lines.py"


@pytest.fixture(scope="module")
def twin():
    spec = importlib.util.spec_from_file_location("ire_in_40_lines", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BASES = {
    "sgd": lambda ps: torch.optim.SGD(ps, lr=0.1),
    "sgd nesterov": lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adamw": lambda ps: torch.optim.AdamW(ps, lr=0.01, weight_decay=0.1),
    "adamw fused": lambda ps: torch.optim.AdamW(ps, lr=0.01, fused=True),
    "adam": lambda ps: torch.optim.Adam(ps, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda ps: torch.optim.RMSprop(ps, lr=0.01),
    "nadam": lambda ps: torch.optim.NAdam(ps, lr=0.01),
    "adagrad": lambda ps: torch.optim.Adagrad(ps, lr=0.1),
}
SETTINGS = [
    {"kappa": 3.0, "gamma": 0.6, "interval": 4, "start": 5},
    {"kappa": 1.0, "gamma": 0.97, "interval": 1},
    {"kappa": 0.5, "gamma": 1.0, "interval": 3},
]


class Words(nn.Module):
    """Most rows of the embedding have a curvature of exactly zero: ties, which both must break alike."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(40, 6, dtype=torch.float64)
        self.head = nn.Linear(6, 5, dtype=torch.float64)

    def forward(self, tokens):
        return self.head(torch.tanh(self.embedding(tokens)))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", BASES)
def test_the_two_agree_after_every_step(name, settings, twin):
    slow, fast = Words(), Words()
    by_forty = twin.IRE(BASES[name](slow.parameters()), **settings)
    optimizer = ire.IRE(BASES[name](fast.parameters()), **settings)
    for step in range(16):
        g = torch.Generator().manual_seed(step)
        tokens, labels = torch.randint(0, 40, (12,), generator=g), torch.randint(0, 5, (12,), generator=g)
        for model, it in ((slow, by_forty), (fast, optimizer)):
            if it.curvature_due:
                sampled_nll(model(tokens), generator=torch.Generator().manual_seed(step)).backward()
                it.update_mask()
            nn.functional.cross_entropy(model(tokens), labels).backward()
            it.step()
            model.zero_grad()
        for p, q, mask in zip(slow.parameters(), fast.parameters(), by_forty.masks, strict=True):
            torch.testing.assert_close(q, p, rtol=1e-12, atol=1e-14)
            if q in optimizer._memory.masks:
                assert torch.equal(optimizer._memory.masks[q], mask.to(torch.uint8))


def test_the_example_runs_and_says_how_far_apart_they_are(capsys):
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert float(capsys.readouterr().out.split()[-1]) < 1e-12


def test_the_algorithm_still_fits_into_forty_lines():
    body = EXAMPLE.read_text().split("class IRE:")[1].split("\n\n\ndef ")[0]
    code = [line for line in body.splitlines() if line.strip() and not line.strip().startswith('"""')]
    assert len(code) <= 40
