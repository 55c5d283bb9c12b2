"""The quiet pass at the end of a sweep: the winners take turns, one short run at a time, while nothing else runs.

Times of trials that shared the machine with others say little about the methods. Here every winner trains `STEPS`
steps, over which its whole schedule runs, so that masks cost their share. The methods alternate, so that a temporary
disturbance of the machine affects all of them equally.

Only times of one pass are compared. If a resume brings a new winner into a study whose pass is over, by an added method
or a better trial, all winners of that study take turns again.
"""

from collections.abc import Sequence
from statistics import median

from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import TIMING, TrialRecord
from ire.sweeps.search.ledger import Ledger

ROUNDS = 5
"""Turns of each winner in a pass; the first is a warm-up and is not counted."""
STEPS = 40
"""Maximum number of optimizer steps of one turn."""


def is_timed(plan: Plan) -> bool:
    """Whether a sweep ends with the quiet pass."""
    return plan.rules > 1 and plan.confirm_seeds > 0 and len(plan.methods) > 1


def timing_turns(plan: Plan, ledgers: Sequence[Ledger]) -> list[TrialRecord]:
    """All turns of all winners, in order; `ledgers` are those of all studies, which must be over."""
    if not is_timed(plan):
        return []
    winners = [ledger for ledger in ledgers if ledger.confirm]
    first = {
        study: ROUNDS * _pass([ledger for ledger in winners if ledger.study == study])
        for study in {ledger.study for ledger in winners}
    }
    return [
        _turn(plan, ledger, first[ledger.study] + number) for number in range(ROUNDS) for ledger in winners
    ]


def _pass(winners: Sequence[Ledger]) -> int:
    """The number of the current pass of a study's winners, from 0: a new pass if a winner was too late for the last.

    The rounds of a pass follow each other. So a winner without a turn in the first round was too late once another
    winner has a turn in the second.
    """
    taken = [{run.number for run in _turns(ledger)} for ledger in winners]
    last = max((number for numbers in taken for number in numbers), default=0) // ROUNDS
    is_under_way = any(number > last * ROUNDS for numbers in taken for number in numbers)
    came_late = any(last * ROUNDS not in numbers for numbers in taken)
    return last + (is_under_way and came_late)


def _turns(ledger: Ledger) -> list[TrialRecord]:
    """The turns of the current winner; those of an earlier winner, from before a raised budget, are left out."""
    contest = ledger.confirmation
    return contest.runs(contest.chosen, TIMING) if contest is not None and contest.chosen is not None else []


def _turn(plan: Plan, ledger: Ledger, number: int) -> TrialRecord:
    study, contest, settings = plan.study(ledger.study), ledger.confirmation, ledger.settings
    assert contest is not None and contest.chosen is not None and settings is not None, (
        "it has been confirmed"
    )
    chosen = contest.chosen
    parts = (ledger.method.name, TIMING, chosen.variant, f"{chosen.origin:04d}", str(number))
    return TrialRecord(
        spec=study.timing_trial(
            "-".join(part for part in parts if part), ledger.method.name, settings, STEPS
        ),
        stage=TIMING,
        number=number,
        arm=ledger.method.name,
        origin=chosen.origin,
        variant=chosen.variant,
    )


def optimizer_share(ledger: Ledger) -> float | None:
    """The optimizer's share of a winner's step time in the same turns, in 0 to 1; None if unknown."""
    shares = [
        seconds * run.step / run.seconds
        for run in _counted(ledger)
        if run.seconds and (seconds := run.reports[-1].get("optimizer_seconds")) is not None
    ]
    return median(shares) if shares else None


def step_seconds(ledger: Ledger) -> list[float]:
    """Seconds per step in each turn of a winner's last pass, without the warm-up; empty before there are any."""
    return [run.seconds / run.step for run in _counted(ledger)]


def _counted(ledger: Ledger) -> list[TrialRecord]:
    """The measured turns of a winner's last pass, without the warm-up."""
    turns = _turns(ledger)
    last = max((run.number for run in turns), default=0) // ROUNDS
    return [run for run in turns if run.number > last * ROUNDS and run.step]
