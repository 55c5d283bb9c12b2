"""The stages after the search: confirm runs, baseline curve and controls.

They follow from the plan and the trials so far, without further state. The sweep uses them to choose the next run, the
report to read the results.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ire.methods.ire import CONTROLS
from ire.sweeps.plan.plan import SELECTION_SEEDS, Plan
from ire.sweeps.records.records import CONTROL, CURVE, DIVERGED, FAILED, TrialRecord
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.seed_contest import Entry, SeedContest, at_rate

KAPPA_0 = "kappa0"
PUBLISHED = "published"
CONTROL_WORDS = {
    KAPPA_0: "kappa = 0: the base optimizer at these settings",
    **CONTROLS,
    PUBLISHED: "published settings, not tuned",
}
"""A description of each control."""


def lost(runs: Collection[TrialRecord]) -> int:
    """The number of runs that diverged or failed."""
    return sum(run.status in (DIVERGED, FAILED) for run in runs)


def best_baseline(ledgers: Collection[Ledger]) -> Ledger | None:
    """The baseline with the best mean final validation of its confirm runs so far; None without any.

    A baseline that lost runs to divergence or errors is the best only if all others lost some as well.
    """
    confirmed = [ledger for ledger in ledgers if ledger.is_baseline and ledger.mean_cost is not None]
    return min(confirmed, key=lambda ledger: (lost(ledger.confirm) > 0, ledger.mean_cost), default=None)


def baseline_is_settled(ledgers: Collection[Ledger]) -> bool:
    """Whether at least one baseline has candidates, and every baseline with candidates has been confirmed."""
    baselines = [ledger for ledger in ledgers if ledger.is_baseline]
    contests = [ledger.confirmation for ledger in baselines]
    return all(
        ledger.search_is_over and (contest is None or contest.is_over)
        for ledger, contest in zip(baselines, contests, strict=True)
    ) and any(contests)


def curve_baselines(plan: Plan, ledgers: Collection[Ledger]) -> list[Ledger]:
    """The baselines whose curves are run: the best one, and those with a higher final loss but a lower cost per step.

    The best baseline per step need not be the best per gradient or per second, but a baseline with neither a lower loss
    nor a lower cost than another is not the best on any clock. Empty before every baseline has been confirmed. Sweeps
    older than studies (`rules` 1) run the curve of the best baseline alone.
    """
    best = best_baseline(ledgers) if baseline_is_settled(ledgers) else None
    if best is None:
        return []
    front, cost = [best], best.gradients_per_step
    if plan.rules > 1:
        others = [ledger for ledger in ledgers if ledger.is_baseline and ledger is not best]
        costs = [(mean, place) for place, each in enumerate(others) if (mean := each.mean_cost) is not None]
        for ledger in (others[place] for _, place in sorted(costs)):
            if ledger.gradients_per_step < cost and not lost(ledger.confirm):
                front.append(ledger)
                cost = ledger.gradients_per_step
    return front


def curve_contests(plan: Plan, ledgers: Collection[Ledger]) -> list[SeedContest]:
    """The points of the baselines' curves, shortest first, without the task's horizon; empty without a baseline."""
    if not plan.curve or len(ledgers) < 2:
        return []
    return [
        _curve_point(baseline, plan.curve_lr, factor)
        for baseline in curve_baselines(plan, ledgers)
        for factor in sorted(plan.curve)
    ]


def _curve_point(baseline: Ledger, rates: Sequence[float], factor: float) -> SeedContest:
    winner, settings = baseline.winner, baseline.settings
    assert winner is not None and settings is not None, "it has been confirmed"
    entries = [
        Entry(
            method=winner.method,
            settings=at_rate(settings, lr),
            origin=winner.number,
            variant=f"x{factor:g}" + (f"-lr{lr:g}" if lr != 1 else ""),
        )
        for lr in (1.0, *rates)
    ]
    return baseline.contest(CURVE, entries, horizon_factor=factor)


def control_contests(plan: Plan, ledger: Ledger) -> list[SeedContest]:
    """The controls of one method, each on the confirm seeds; empty before its winner is final."""
    contest = ledger.confirmation
    if not plan.controls or contest is None or contest.chosen is None:
        return []
    return [
        ledger.contest(CONTROL, entries, flatness=True, name=name)
        for name, entries in _control_entries(plan, ledger)
    ]


STRENGTHS = (1.0, 0.25, 0.5, 0.125, 2.0, 0.0625, 4.0)
"""Factors of kappa at which a control is tuned: the best kappa for a mask need not be best for its replacement."""
RATES = (1.0, 2.0, 0.5, 4.0, 0.25, 1.4142, 0.7071)
"""Factors of the learning rate at which the control without a boost is tuned."""


def _control_entries(plan: Plan, ledger: Ledger) -> Iterator[tuple[str, list[Entry]]]:
    """The name of each control of a method, with the entries among which its settings are chosen.

    There are as many entries as candidates, so that a control is tuned as far as the method in its last stage; one
    entry in sweeps older than studies.
    """
    method, winner, settings = ledger.method, ledger.winner, ledger.settings
    assert winner is not None and settings is not None, "its contest has chosen"
    points = plan.candidates if plan.rules > 1 else 1

    def entries(
        name: str, of: str, own: Mapping[str, Any], setting: str, factors: Sequence[float]
    ) -> list[Entry]:
        return [
            Entry(
                method=of,
                settings={**own, setting: own[setting] * factor},
                origin=winner.number,
                variant=name + (f"-{setting}{factor:g}" if factor != 1 else ""),
            )
            for factor in factors[:points]
        ]

    if method.ire and method.control is None:
        yield KAPPA_0, entries(KAPPA_0, method.name, settings | {"kappa": 0.0}, "lr", RATES)
        for name in CONTROLS:
            control = replace(method, control=name)
            own = {key: value for key, value in settings.items() if key in control.settings}
            yield name, entries(name, control.name, own, "kappa", STRENGTHS)
    if not won_as_published(ledger):  # else the published settings have been confirmed
        published = plan.space.published(method)
        yield PUBLISHED, [Entry(method=method.name, settings=published, origin=0, variant=PUBLISHED)]


def won_as_published(ledger: Ledger) -> bool:
    """Whether the winner has exactly the published settings, which are those of trial 0."""
    winner, settings = ledger.winner, ledger.settings
    if winner is None or settings is None:
        return False
    return winner.number == 0 and settings.get("lr") == winner.spec.settings.get("lr")


def contests(plan: Plan, ledgers: Mapping[str, Ledger]) -> Iterator[list[SeedContest]]:
    """The contests after the search that have run or may run now, in the order of the stages."""
    yield [contest for ledger in ledgers.values() if (contest := ledger.confirmation)]
    yield curve_contests(plan, ledgers.values())
    yield [contest for ledger in ledgers.values() for contest in control_contests(plan, ledger)]


def is_over(plan: Plan, ledgers: Mapping[str, Ledger]) -> bool:
    """Whether every search and all stages after it have ended."""
    return all(ledger.search_is_over for ledger in ledgers.values()) and all(
        contest.is_over for stage in contests(plan, ledgers) for contest in stage
    )


def later_runs(plan: Plan, ledger: Ledger, *, is_curve: bool) -> list[float]:
    """The horizons of at most all runs after one method's search, in multiples of the task's.

    With `is_curve` the method is a baseline whose curve is run.
    """
    candidates = len(ledger.candidates) if ledger.search_is_over else plan.candidates
    if not plan.confirm_seeds or not candidates:
        return []
    entries = candidates * (1 + len(plan.curve_lr) if plan.rules > 1 else 1)
    runs = plan.confirm_seeds + (entries * SELECTION_SEEDS if entries > 1 else 0)
    if plan.controls:
        is_ire = ledger.method.ire and ledger.method.control is None
        tuned = plan.candidates if plan.rules > 1 and plan.candidates > 1 and is_ire else 0
        known = control_contests(plan, ledger)
        wanted = len(known or (CONTROL_WORDS if is_ire else (PUBLISHED,)))
        runs += plan.confirm_seeds * wanted + SELECTION_SEEDS * tuned * (wanted - 1)
    horizons = [1.0] * runs
    if is_curve and len(plan.methods) > 1:
        point = plan.confirm_seeds + (SELECTION_SEEDS * (1 + len(plan.curve_lr)) if plan.curve_lr else 0)
        horizons += [factor for factor in plan.curve for _ in range(point)]
    return horizons
