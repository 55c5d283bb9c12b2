"""IRE as one would teach it: the whole algorithm, slow and easy to check. The fast one is `ire.IRE`.

    python examples/ire_in_40_lines.py

trains with both and prints the largest difference. `tests/optim/test_readable_twin.py` compares them step by step.
Wang et al. 2024, "Improving Generalization and Convergence by Enhancing Implicit Regularization", Algorithm 1.
"""

import math

import torch


class IRE:
    def __init__(self, base, kappa, gamma, interval=10, start=0):
        self.base, self.kappa, self.gamma, self.interval, self.start = base, kappa, gamma, interval, start
        self.parameters = [p for group in base.param_groups for p in group["params"]]
        self.step_number = 0
        self.masks = [torch.zeros_like(p) for p in self.parameters]  # n in the paper

    @property
    def curvature_due(self):
        """Every K steps, from T_w on."""
        return self.step_number >= self.start and (self.step_number - self.start) % self.interval == 0

    @torch.no_grad()
    def update_mask(self):
        """After the backward pass on labels drawn from the model: (∂L̂/∂θ)² estimates the Hessian's diagonal."""
        h = torch.cat(
            [p.grad.flatten().abs() for p in self.parameters]
        )  # the order of |∂L̂/∂θ| is that of its square
        flattest = h.sort(stable=True).indices[: math.floor(self.gamma * len(h))]
        n = torch.zeros_like(h)
        n[flattest] = 1
        parts = n.split([p.numel() for p in self.parameters])
        self.masks = [part.view_as(p) for part, p in zip(parts, self.parameters, strict=True)]
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self):
        """θ ← θ + Δ + κ n ⊙ Δ, where Δ is the step of the base optimizer."""
        before = [p.clone() for p in self.parameters]
        self.base.step()
        if self.step_number >= self.start:
            for p, old, n in zip(self.parameters, before, self.masks, strict=True):
                p += self.kappa * n * (p - old)
        self.step_number += 1


def train(wrap, steps=100):
    """A small classifier, trained with `wrap(base optimizer)`; returns its parameters and the last loss."""
    from ire import sampled_nll

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4)).double()
    optimizer = wrap(torch.optim.AdamW(model.parameters(), lr=1e-2))
    inputs, labels = torch.randn(64, 8).double(), torch.randint(0, 4, (64,))
    for step in range(steps):
        if optimizer.curvature_due:
            sampled_nll(model(inputs), generator=torch.Generator().manual_seed(step)).backward()
            optimizer.update_mask()
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        model.zero_grad()
    return torch.cat([p.detach().flatten() for p in model.parameters()]), loss.item()


if __name__ == "__main__":
    import ire

    settings = {"kappa": 2.0, "gamma": 0.6, "start": 20}
    plain, loss_of_base = train(lambda base: ire.IRE(base, kappa=0, gamma=1))
    slow, loss_of_slow = train(lambda base: IRE(base, **settings))
    fast, loss_of_fast = train(lambda base: ire.IRE(base, **settings))
    print(f"training loss: base {loss_of_base:.4f}, IRE here {loss_of_slow:.4f}, ire.IRE {loss_of_fast:.4f}")
    print(f"largest difference of a weight between the two: {(slow - fast).abs().max():.1e}")
