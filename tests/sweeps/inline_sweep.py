"""A whole sweep in one process, with real training and without Ray; a module that child processes can import."""

from pathlib import Path

from simulated import make_plan

from search_spaces.space import find_space, parse_space
from sweeps.plan import Plan
from sweeps.protocol import Protocol
from trainables.loop import train
from trainables.task import load_task


def small_plan() -> Plan:
    """Digits with a fifth of its steps."""
    text = find_space("digits").text.replace("horizon = 240", "horizon = 48").replace("[120, 176]", "[24]")
    space = parse_space(text, task="digits", source="a test")
    return make_plan(methods=("sgd-ire", "adamw"), trials=4, confirm_seeds=2, curve=(), space=space)


def run(folder: Path) -> None:
    """The whole sweep in this process, with one slot, as its gang and its driver would do it."""
    protocol = Protocol(small_plan(), folder)
    task = load_task("digits")
    while trial := protocol.next_trial():
        train(
            trial.spec,
            lambda report, _, trial=trial: protocol.report(trial, report),
            task=task,
            checkpoint=folder / "checkpoints" / trial.name,
            checkpoint_seconds=0,
        )
    assert protocol.is_over
