"""What runs after the search, and when: the confirm runs, the baseline curve and the controls.

All of it follows from the plan and the trials so far, so nothing needs to be remembered: the sweep asks for what
may run next, the report for what has been found.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from ire.methods.ire import CONTROLS
from ire.sweeps.plan.plan import SELECTION_SEEDS, Plan
from ire.sweeps.records.records import CONTROL, CURVE, DIVERGED, FAILED, TrialRecord
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.seed_contest import Contest, Entry

KAPPA_0 = "kappa0"
PUBLISHED = "published"
CONTROL_WORDS = {
    KAPPA_0: "kappa = 0: the base optimizer at these settings",
    **CONTROLS,
    PUBLISHED: "published settings, not tuned",
}
"""What each control is, in words."""


def lost(runs: Collection[TrialRecord]) -> int:
    """How many runs diverged or failed."""
    return sum(run.status in (DIVERGED, FAILED) for run in runs)


def best_baseline(ledgers: Collection[Ledger]) -> Ledger | None:
    """The baseline with the lowest mean final validation loss over its confirm runs so far; None without any.

    One that lost runs to divergence or errors is the best only if all others lost some as well.
    """
    confirmed = [ledger for ledger in ledgers if ledger.is_baseline and ledger.mean_loss is not None]
    return min(confirmed, key=lambda ledger: (lost(ledger.confirm) > 0, ledger.mean_loss), default=None)


def baseline_is_settled(ledgers: Collection[Ledger]) -> bool:
    """Whether every baseline that has a candidate has been confirmed, and there is one."""
    baselines = [ledger for ledger in ledgers if ledger.is_baseline]
    contests = [ledger.confirmation for ledger in baselines]
    return all(
        ledger.search_is_over and (contest is None or contest.is_over)
        for ledger, contest in zip(baselines, contests, strict=True)
    ) and any(contests)


def curve_baselines(plan: Plan, ledgers: Collection[Ledger]) -> list[Ledger]:
    """The baselines whose curves are run: the best one, and those that end higher but cost less per step.

    What is best per step need not be best per gradient or second. A baseline that neither ends lower nor costs less
    than another is best on no clock. Empty before every baseline has been confirmed. Sweeps of before there were
    studies (`rules` 1) have the curve of the best baseline alone.
    """
    best = best_baseline(ledgers) if baseline_is_settled(ledgers) else None
    if best is None:
        return []
    front, cost = [best], best.gradients_per_step
    if plan.rules > 1:
        others = [ledger for ledger in ledgers if ledger.is_baseline and ledger is not best]
        for ledger in sorted(
            (each for each in others if each.mean_loss is not None), key=lambda each: each.mean_loss
        ):
            if ledger.gradients_per_step < cost and not lost(ledger.confirm):
                front.append(ledger)
                cost = ledger.gradients_per_step
    return front


def curve_contests(plan: Plan, ledgers: Collection[Ledger]) -> list[Contest]:
    """The points of the baselines' curves except the task's own horizon, shortest first; empty without a baseline."""
    if not plan.curve or len(ledgers) < 2:
        return []
    return [
        _curve_point(plan, baseline, factor)
        for baseline in curve_baselines(plan, ledgers)
        for factor in sorted(plan.curve)
    ]


def _curve_point(plan: Plan, baseline: Ledger, factor: float) -> Contest:
    winner = baseline.winner
    settings = dict(winner.spec.settings)
    entries = [
        Entry(
            method=winner.method,
            settings=settings | {"lr": settings["lr"] * lr},
            origin=winner.number,
            variant=f"x{factor:g}" + (f"-lr{lr:g}" if lr != 1 else ""),
        )
        for lr in (1.0, *plan.curve_lr)
    ]
    return Contest(plan, baseline.method.name, CURVE, entries, baseline.later, horizon_factor=factor)


def control_contests(plan: Plan, ledger: Ledger) -> list[Contest]:
    """The controls of one method, each on the confirm seeds; empty before its winner is settled."""
    contest = ledger.confirmation
    if not plan.controls or contest is None or contest.chosen is None:
        return []
    return [
        Contest(plan, ledger.method.name, CONTROL, [entry], ledger.later, flatness=True)
        for entry in _control_entries(plan, ledger)
    ]


def _control_entries(plan: Plan, ledger: Ledger) -> Iterator[Entry]:
    method, winner = ledger.method, ledger.winner
    settings = dict(winner.spec.settings)
    if method.ire and method.control is None:
        yield Entry(
            method=method.name, settings=settings | {"kappa": 0.0}, origin=winner.number, variant=KAPPA_0
        )
        for name in CONTROLS:
            control = replace(method, control=name)
            own = {key: value for key, value in settings.items() if key in control.settings}
            yield Entry(method=control.name, settings=own, origin=winner.number, variant=name)
    if winner.number:  # trial 0 is the published default: if it won, it has been confirmed
        yield Entry(method=method.name, settings=plan.space.published(method), origin=0, variant=PUBLISHED)


def contests(plan: Plan, ledgers: Mapping[str, Ledger]) -> Iterator[list[Contest]]:
    """What may run now or has run after the search, in the order of the stages."""
    yield [contest for ledger in ledgers.values() if (contest := ledger.confirmation)]
    yield curve_contests(plan, ledgers.values())
    yield [contest for ledger in ledgers.values() for contest in control_contests(plan, ledger)]


def is_over(plan: Plan, ledgers: Mapping[str, Ledger]) -> bool:
    """Whether every search and everything after it has ended."""
    return all(ledger.search_is_over for ledger in ledgers.values()) and all(
        contest.is_over for stage in contests(plan, ledgers) for contest in stage
    )


def later_runs(plan: Plan, ledger: Ledger, *, is_curve: bool) -> list[float]:
    """The horizons, in multiples of the task's, of all runs after one method's search, at most.

    With `is_curve` it is the baseline whose curve is run.
    """
    candidates = len(ledger.candidates) if ledger.search_is_over else plan.candidates
    if not plan.confirm_seeds or not candidates:
        return []
    runs = plan.confirm_seeds + (candidates * SELECTION_SEEDS if candidates > 1 else 0)
    if plan.controls:
        known = control_contests(plan, ledger)
        wanted = CONTROL_WORDS if ledger.method.ire and ledger.method.control is None else (PUBLISHED,)
        runs += plan.confirm_seeds * len(known or wanted)
    horizons = [1.0] * runs
    if is_curve and len(plan.methods) > 1:
        point = plan.confirm_seeds + (SELECTION_SEEDS * (1 + len(plan.curve_lr)) if plan.curve_lr else 0)
        horizons += [factor for factor in plan.curve for _ in range(point)]
    return horizons
