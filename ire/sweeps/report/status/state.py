"""How far a sweep has come: running, interrupted or finished, at which stage, with every method's runs."""

from dataclasses import dataclass

from ire.sweeps.findings.results import Results
from ire.sweeps.records.in_use import user_of
from ire.sweeps.records.records import RUNNING
from ire.sweeps.report.tables.table import Table
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.stage_counts import stage_heads, stage_lines, stages_now
from ire.sweeps.search.widening import study_plan

MOST_NAMED = 6
"""Maximum number of running trials that are named; a cluster may run hundreds."""
FINISHED, RUNS, INTERRUPTED = "finished", "running", "interrupted"


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of an experiment at the moment it was read."""

    word: str
    """`finished`, `running` or `interrupted`."""
    sentence: str
    stages: Table | None
    """The runs of the current study; None once the sweep is finished."""
    running: str
    """The running trials and their steps, in one line; empty if none runs."""


def state_of(results: Results) -> State:
    """The state of the sweep; computes statistics only if all its runs have ended."""
    plan, trials = results.plan, list(results.records.trials.values())
    running = [trial for trial in trials if trial.status == RUNNING]
    user = user_of(results.folder)
    if not running and user is None and results.is_complete:
        return State(word=FINISHED, sentence=FINISHED, stages=None, running="")
    number = max((trial.study for trial in trials), default=0)
    study = study_plan(plan, number, trials)
    ledgers = {method: Ledger(study, method, trials) for method in plan.methods}
    count = max(plan.studies, number + 1)
    place = f"study {number + 1} of {count}" if count > 1 else ""
    at = ", ".join(part for part in (place, stages_now(running)) if part)
    done = f"{len(trials) - len(running)} trials done"
    word = RUNS if user else INTERRUPTED
    by = f" by {user}" if user else f"; continue with: ire resume {results.home.argument}"
    title = "Runs" + (f" of {place}" if place else "")
    named = [f"{trial.name} ({trial.step}/{trial.spec.horizon})" for trial in running[:MOST_NAMED]]
    more = [f"{len(running) - MOST_NAMED} more"] if len(running) > MOST_NAMED else []
    return State(
        word=word,
        sentence=f"{word}: {', '.join(part for part in (at, done) if part)}{by}",
        stages=Table(title=title, heads=stage_heads(study), lines=stage_lines(study, ledgers)),
        running=", ".join([*named, *more]),
    )
