"""The quiet pass at the end of a sweep: the winners take turns, one short run at a time, while nothing else runs.

Times of trials that shared the machine with others say little about the methods. Here every winner trains `STEPS` steps
with the whole of its schedule laid over them, so that masks cost their share, and the methods alternate: what
disturbs the machine for a while disturbs them all alike.
"""

from collections.abc import Sequence

from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import TIMING, TrialRecord
from ire.sweeps.search.ledger import Ledger

ROUNDS = 5
"""Turns of each winner; the first warms up and is not counted."""
STEPS = 40
"""Optimizer steps of one turn, at most."""


def is_timed(plan: Plan) -> bool:
    """Whether a sweep ends with the quiet pass."""
    return plan.rules > 1 and plan.confirm_seeds > 0 and len(plan.methods) > 1


def timing_turns(plan: Plan, ledgers: Sequence[Ledger]) -> list[TrialRecord]:
    """Every turn of every winner, in order; `ledgers` are those of all studies, which must be over."""
    if not is_timed(plan):
        return []
    winners = [ledger for ledger in ledgers if ledger.confirm]
    return [_turn(plan, ledger, number) for number in range(ROUNDS) for ledger in winners]


def _turn(plan: Plan, ledger: Ledger, number: int) -> TrialRecord:
    study, chosen = plan.study(ledger.study), ledger.confirmation.chosen
    parts = (ledger.method.name, TIMING, chosen.variant, f"{chosen.origin:04d}", str(number))
    return TrialRecord(
        spec=study.timing_trial(
            "-".join(part for part in parts if part), ledger.method.name, ledger.settings, STEPS
        ),
        stage=TIMING,
        number=number,
        arm=ledger.method.name,
        origin=chosen.origin,
        variant=chosen.variant,
    )


def step_seconds(ledger: Ledger) -> list[float]:
    """Seconds per step of a winner's turns, without the first; empty before there are any."""
    contest = ledger.confirmation
    if contest is None or contest.chosen is None:
        return []
    turns = contest.runs(contest.chosen, TIMING)  # a winner of before a raised budget had turns, too
    return [run.seconds / run.step for run in turns if run.number and run.step]
