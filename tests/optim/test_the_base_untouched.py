"""κ=0, and every step before `start`, is the base optimizer bit for bit."""

import pytest
import torch

from ire import IRE, SAM

BASES = {
    "sgd": lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adamw": lambda ps: torch.optim.AdamW(ps, lr=0.01),
    "sam": lambda ps: SAM(torch.optim.SGD(ps, lr=0.1, momentum=0.9)),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("settings", [{"kappa": 0, "gamma": 0.5}, {"kappa": 5, "gamma": 0.5, "start": 12}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_base_bitwise(base, settings, dtype, make_model, vector, train):
    wrapped, plain = make_model(dtype=dtype), make_model(dtype=dtype)
    optimizer = IRE(BASES[base](wrapped.parameters()), **settings)
    losses = train(wrapped, optimizer, 0, 12)
    assert losses == train(plain, BASES[base](plain.parameters()), 0, 12)
    assert torch.equal(vector(wrapped), vector(plain))
    assert optimizer.kappa_in_force == 0 and optimizer.flat_fraction == 0 and optimizer.steps == 12


def test_the_buffers_of_the_base_never_see_the_boost(make_model, make_batch):
    """With the gradient held constant the momentum must not depend on κ."""
    buffers = []
    for kappa in (1.0, 50.0):
        model = make_model()
        base = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        optimizer = IRE(base, kappa=kappa, gamma=0.5, curvature="random")
        for step in range(5):
            for i, p in enumerate(model.parameters()):
                noise = torch.Generator().manual_seed(10 * step + i)
                p.grad = torch.randn(p.shape, dtype=p.dtype, generator=noise)
            optimizer.step()
        buffers.append([base.state[p]["momentum_buffer"] for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*buffers, strict=True))


def test_groups_and_state_are_the_objects_of_the_base(make_model, train):
    model = make_model()
    base = torch.optim.AdamW(model.parameters())
    optimizer = IRE(SAM(base), kappa=1, gamma=0.5)
    train(model, optimizer, 0, 2)
    optimizer.load_state_dict(optimizer.state_dict())
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert optimizer.param_groups is base.param_groups and optimizer.state is base.state
