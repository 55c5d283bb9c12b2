"""A whole sweep in one process, with real training and without Ray; a module that child processes can import."""

from pathlib import Path

from simulated import make_plan

from ire.sweeps.plan.plan import Plan
from ire.sweeps.search.protocol import Protocol
from search_spaces.space import find_space, parse_space
from trainables.task import load_task
from trainables.training.loop import train


def small_plan() -> Plan:
    """Digits with a fifth of its steps."""
    text = find_space("digits").text.replace("horizon = 240", "horizon = 48").replace("[120, 176]", "[24]")
    space = parse_space(text, task="digits", source="a test")
    return make_plan(methods=("sgd-ire", "adamw"), trials=4, confirm_seeds=2, curve=(), space=space)


def along_plan() -> Plan:
    """Digits with a fifth of its steps and flatness at three points of every confirm run."""
    text = find_space("digits").text.replace("horizon = 240", "horizon = 48").replace("[120, 176]", "[24]")
    text = text.replace("[confirm]", "[confirm]\nflatness_batches = 1\nflatness_points = 3")
    space = parse_space(text, task="digits", source="a test")
    return make_plan(methods=("sgd", "sgd-ire"), trials=2, confirm_seeds=2, curve=(), space=space)


def grid_plan(*, share_prefix, **fields):
    """Digits, 48 steps, IRE from 60 % on, a 3 x 2 grid of its settings."""
    text = (
        find_space("digits")
        .text.replace("horizon = 240", "horizon = 50")
        .replace("eval_interval = 8", "eval_interval = 5")
    )
    text = text.replace("rungs = [120, 176]       # both after", "rungs = []\ngrid = true  # both after")
    ours = "kappa = { choice = [1.0, 2.0, 5.0], published = 1.0 }\ngamma = { choice = [0.8, 0.9], published = 0.8 }\n"
    head, _, rest = text.partition("[ire]\n")
    kept = [
        line for line in rest.splitlines() if not line.startswith(("kappa ", "gamma ", "start_fraction "))
    ]
    text = f"{head}[ire]\n{ours}start_fraction = 0.6\n" + "\n".join(kept) + "\n"
    space = parse_space(text, task="digits", source="a test")
    return make_plan(
        methods=("sgd", "sgd-ire"),
        confirm_seeds=2,
        controls=True,
        space=space,
        share_prefix=share_prefix,
        **fields,
    )


def run(folder: Path, plan: Plan | None = None) -> Protocol:
    """The whole sweep in this process, with one slot, as its gang and its driver would do it."""
    protocol = Protocol(plan or small_plan(), folder)
    task = load_task("digits")
    while trial := protocol.next_trial():

        def begins_with(training, trial=trial):
            trial.prefix = training.gradient_evaluations

        train(
            trial.spec,
            lambda report, _, trial=trial: protocol.report(trial, report),
            task=task,
            checkpoint=folder / "checkpoints" / trial.name,
            checkpoint_seconds=0,
            prefixes=folder / "prefixes" if protocol.plan.share_prefix else None,
            on_prefix=begins_with,
        )
    assert protocol.is_over
    return protocol
