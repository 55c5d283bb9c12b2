"""One trial in this process, without Ray: what a sweep runs many times, here in a debugger's reach."""

from ire.sweeps.experiments.train_one import train_one
from ire.trial.report import Report


def final_loss(method: str, **settings: float) -> float:
    """The validation loss of `method` on the digits after 48 steps; its published settings otherwise."""
    reports: list[Report] = []
    ended = train_one("digits", method, settings, reports.append, horizon=48)
    print(f"{method:8} {ended}: validation loss {reports[-1]['val_loss']:.3f}")
    return reports[-1]["val_loss"]


if __name__ == "__main__":
    final_loss("sgd", lr=0.05)
    final_loss("sgd-ire", lr=0.05, kappa=2.0)
