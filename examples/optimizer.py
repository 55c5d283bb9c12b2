"""IRE around AdamW in a plain training loop; needs torch and nothing else."""

import torch
from torch import nn

from ire import IRE, sampled_nll

STEPS, WARMUP = 200, 20


def spirals(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (count, 2) on three spiral arms, and which arm each is on (count,)."""
    labels = torch.randint(3, (count,), generator=generator)
    radius = torch.rand(count, generator=generator)
    angle = 4 * radius + 2 * torch.pi / 3 * labels + 0.2 * torch.randn(count, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), labels


def main() -> float:
    """Train for 200 steps; returns the accuracy on fresh points."""
    torch.manual_seed(0)
    draws = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))
    base = torch.optim.AdamW(model.parameters(), lr=1e-2)
    optimizer = IRE(base, kappa=2.0, gamma=0.6, start=WARMUP)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        inputs, labels = spirals(256, draws)
        if optimizer.curvature_due:  # every 10 steps, from `start` on
            sampled_nll(model(inputs), generator=draws).backward()
            optimizer.update_mask()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step:3}  loss {loss.item():.3f}  boosted {optimizer.flat_fraction:.0%}")
    inputs, labels = spirals(1000, draws)
    accuracy = (model(inputs).argmax(dim=1) == labels).float().mean().item()
    print(f"accuracy {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
