"""The fairness contract: what must be equal between methods for a meaningful comparison.

Each clause is checked against the plan before a sweep starts, and against the records in its report. A broken clause
makes the comparison "not comparable"; a clause that cannot be judged yet says so.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from ire.sweeps.findings.clause import Clause, same_range
from ire.sweeps.findings.function_contract import differing_ranges, function_clauses
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import (
    CONFIRM,
    CONTROL,
    CURVE,
    FINISHED,
    RUNNING,
    TIMING,
    TrialRecord,
)
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.stages import best_baseline

SPENT_TOLERANCE = 1.33
"""A search that spent more than this multiple of the best baseline's breaks the clause on budgets."""
WALL_CLAUSE = "hardware"


def broken_before(plan: Plan) -> list[Clause]:
    """The clauses that a plan breaks before anything has run."""
    return [clause for clause in (_ranges(plan),) if clause.kept is False]


def clauses(plan: Plan, studies: Sequence[Mapping[str, Ledger]]) -> Iterator[Clause]:
    """Every clause, judged from the plan and the runs of all studies; a clause is kept if every study keeps it."""
    by_study = [list(_of_study(next(iter(study.values())).plan, list(study.values()))) for study in studies]
    for same in zip(*by_study, strict=True):
        kept = (
            False
            if any(c.kept is False for c in same)
            else None
            if any(c.kept is None for c in same)
            else True
        )
        texts = list(dict.fromkeys(clause.text for clause in same))
        if len(texts) > 1:
            texts = [f"study {number}: {clause.text}" for number, clause in enumerate(same, start=1)]
        yield Clause(name=same[0].name, kept=kept, text="; ".join(texts), word=same[0].word)
    yield from function_clauses(plan)
    yield _hardware([ledger for study in studies for ledger in study.values()])


def _of_study(plan: Plan, ledgers: Collection[Ledger]) -> Iterator[Clause]:
    yield _trials(plan, ledgers)
    yield _budget(plan, ledgers)
    yield _ranges(plan)
    yield _seeds(plan, ledgers)
    yield _evaluation(ledgers)


def _trials(plan: Plan, ledgers: Collection[Ledger]) -> Clause:
    started = ", ".join(f"{ledger.method.name} {len(ledger.search)}" for ledger in ledgers)
    fewer = [ledger for ledger in ledgers if ledger.search_is_over]
    allowed = "the points of its grid" if plan.space.search.grid else f"{plan.trials} search trials"
    return Clause(
        name="trials",
        kept=True if len(fewer) == len(ledgers) else None,
        text=f"each method may start {allowed}; started: {started}{_not_searched(plan, ledgers)}",
    )


def _not_searched(plan: Plan, ledgers: Collection[Ledger]) -> str:
    """The methods that are not searched, in words; a grid of one point counts as a search."""
    if plan.space.search.grid:
        return ""
    names = [ledger.method.label for ledger in ledgers if not plan.space.is_searched(ledger.method)]
    return f"; not searched: {', '.join(names)}" if names else ""


def _budget(plan: Plan, ledgers: Collection[Ledger]) -> Clause:
    spent = {ledger.method.name: _cost(plan, ledger) for ledger in ledgers}
    amounts = ", ".join(
        f"{name} {'an unknown number' if value is None else value}" for name, value in spent.items()
    )
    text = f"each method may spend {plan.budget} gradient evaluations on its search; spent: {amounts}"
    best = best_baseline(ledgers)
    if best is None or not all(ledger.search_is_over for ledger in ledgers):
        return Clause(name="budget", kept=None, text=text)
    least = spent[best.method.name]
    if least is None:  # the methods with a known cost can still be compared
        best = min(
            (ledger for ledger in ledgers if spent[ledger.method.name] is not None),
            key=lambda ledger: (not ledger.is_baseline, spent[ledger.method.name]),
            default=best,
        )
        least = spent[best.method.name]
    known = {name: value for name, value in spent.items() if value is not None}
    over = [name for name, value in known.items() if least and value > SPENT_TOLERANCE * least]
    if over:
        text += (
            f"; {' and '.join(over)} spent more than {SPENT_TOLERANCE:g} times as much as {best.method.name}"
        )
    return Clause(name="budget", kept=not over, text=text)


def _cost(plan: Plan, ledger: Ledger) -> int | None:
    """Cost of the search for a method's settings, here and elsewhere; that of a grid is spent here."""
    if plan.space.search.grid:
        return ledger.spent
    return plan.search_cost(ledger.method, ledger.spent)


def _ranges(plan: Plan) -> Clause:
    if plan.space.arms:
        return _ranges_of_arms(plan)
    differing: list[str] = []
    space = plan.space
    for name in plan.methods:
        method = plan.method(name)
        mine = space.dimensions(method)
        for base in (plan.method(each) for each in method.ancestors if each in plan.methods):
            if {name, base.name} & set(space.fixed):  # a method that is not searched has no ranges
                continue
            theirs = space.dimensions(base)
            differing += [
                f"{setting} of {name} ({mine[setting]}) and of {base.name} ({theirs[setting]})"
                for setting in theirs
                if setting in mine and not same_range(mine[setting], theirs[setting])
            ]
    if differing:
        return Clause(
            name="ranges",
            kept=False,
            text=f"searched in different ranges: {'; '.join(differing)}",
        )
    return Clause(
        name="ranges",
        kept=True,
        text="every setting has the same range as in the methods that the method is built on",
    )


def _ranges_of_arms(plan: Plan) -> Clause:
    """The script defines the meaning of settings, so different ranges are reported but do not break the clause."""
    differing = differing_ranges(plan)
    if differing:
        text = f"searched in different ranges: {'; '.join(differing)}; fair only if the settings differ in meaning"
        return Clause(name="ranges", kept=None, word="they differ", text=text)
    return Clause(name="ranges", kept=True, text="every setting has the same range as in the baselines")


def _seeds(plan: Plan, ledgers: Collection[Ledger]) -> Clause:
    started = {frozenset(run.spec.seed for run in ledger.confirm) for ledger in ledgers}
    ended = all(
        len(ledger.confirm) == plan.confirm_seeds and all(run.status != RUNNING for run in ledger.confirm)
        for ledger in ledgers
    )
    finished = ", ".join(
        f"{ledger.method.name} {sum(run.status == FINISHED for run in ledger.confirm)}" for ledger in ledgers
    )
    text = f"each winner runs on the same {plan.confirm_seeds} fresh seeds; finished: {finished}"
    return Clause(name="seeds", kept=len(started) <= 1 if ended else None, text=text)


def _measured(ledgers: Collection[Ledger]) -> list[TrialRecord]:
    return [
        run
        for ledger in ledgers
        for run in ledger.later
        if run.stage in (CONFIRM, CURVE, CONTROL) and run.status == FINISHED
    ]


def _evaluation(ledgers: Collection[Ledger]) -> Clause:
    runs = [run for run in _measured(ledgers) if run.stage != CURVE]
    kinds = {(run.spec.horizon, run.spec.eval_interval, run.spec.precision, len(run.reports)) for run in runs}
    if not runs:
        return Clause(name="evaluation", kept=None, text="nothing has been confirmed yet")
    horizon, every, precision, count = next(iter(kinds))
    text = f"all confirmed runs: {horizon} steps in {precision}, evaluated {count} times, every {every} steps"
    if len(kinds) > 1:
        text = "confirmed runs differ in horizon, precision or evaluations: " + "; ".join(
            map(str, sorted(kinds))
        )
    return Clause(name="evaluation", kept=len(kinds) == 1, text=text)


def _hardware(ledgers: Collection[Ledger]) -> Clause:
    turns = [run for ledger in ledgers for run in ledger.later if run.stage == TIMING and run.reports]
    timed = turns or _measured(ledgers)  # the quiet pass, if there is one
    found = sorted({str(run.reports[-1].get("hardware")) for run in timed} - {"None"})
    if not found:
        return Clause(name=WALL_CLAUSE, kept=None, text="no hardware has been recorded yet")
    if len(found) > 1:
        return Clause(
            name=WALL_CLAUSE,
            kept=False,
            text=f"runs were timed on different hardware ({', '.join(found)}): wall-clock is not comparable",
        )
    return Clause(name=WALL_CLAUSE, kept=True, text=f"all runs were timed on {found[0]}")
