"""Small problems that every test of the optimizer can share; one thread, so that timing noise stays away."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

sys.path.append(str(Path(__file__).parent))  # modules beside the tests can be imported by name


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def make_model():
    """A classifier small enough to follow by hand, the same for equal seeds."""

    def make(seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).to(dtype)

    return make


@pytest.fixture
def make_batch():
    """Inputs (8, 5) and labels (8,) of step `step`, the same whenever asked for."""

    def make(step: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1000 + step)
        return (
            torch.randn(8, 5, generator=generator, dtype=dtype),
            torch.randint(0, 4, (8,), generator=generator),
        )

    return make


@pytest.fixture
def train(make_batch):
    """Run steps `first` to `last` - 1 of the usual loop on a model; returns the losses."""
    from ire import sampled_nll

    def run(model, optimizer, first, last, scheduler=None, create_graph=False) -> list[float]:
        losses = []
        dtype = next(model.parameters()).dtype
        for step in range(first, last):
            inputs, labels = make_batch(step, dtype)
            if getattr(optimizer, "curvature_due", False):
                generator = torch.Generator().manual_seed(step)
                sampled_nll(model(inputs), generator=generator).backward()
                optimizer.update_mask()

            def closure(inputs=inputs, labels=labels) -> Tensor:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(inputs), labels)
                loss.backward(create_graph=create_graph)
                return loss

            losses.append(optimizer.step(closure).item())
            optimizer.zero_grad()
            if scheduler is not None:
                scheduler.step()
        return losses

    return run


@pytest.fixture
def vector():
    """All parameters of a model as one vector."""

    def flatten(model: nn.Module) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    return flatten
