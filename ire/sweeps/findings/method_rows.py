"""Makes the rows of a comparison from each method's trials and runs in all studies."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean, median, stdev
from typing import Any

import numpy as np

from ire.sweeps.findings.differences import Difference, difference, pairs_of
from ire.sweeps.findings.null_model import IRE, NullModel, Point, fitted
from ire.sweeps.findings.rows import Control, Row, Winner
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.target import best_run_ratio, time_to_target_ratio
from ire.sweeps.findings.statistics.verdict import Ratio, SpeedUp, hardest
from ire.sweeps.findings.yardstick import TEST, VALIDATION, Against, Studies, Yardstick, finished
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import DIVERGED, FAILED, FINISHED, PRUNED, RUNNING, TrialRecord
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.range_ends import Edge, edges
from ire.sweeps.search.seed_contest import SeedContest
from ire.sweeps.search.stages import PUBLISHED, control_contests, lost, won_as_published
from ire.sweeps.search.timing import optimizer_share
from ire.trial.seeds import derive_seed

STATUSES = (FINISHED, PRUNED, DIVERGED, FAILED, RUNNING)


class MethodRows:
    """Makes the row of each method of a sweep, measured with the sweep's yardstick."""

    def __init__(self, plan: Plan, studies: Studies, yardstick: Yardstick) -> None:
        self._plan, self._studies, self._yardstick = plan, studies, yardstick
        self._metric = plan.space.metric
        self._judged = self._metric.on_test if yardstick.judged_on == TEST else self._metric.name
        self._is_paired = plan.paired is not False

    def row(self, method: str) -> Row:
        """The row of one method; its judgements are added once all rows exist."""
        ledgers = [study[method] for study in self._studies]
        search = [trial for ledger in ledgers for trial in ledger.search]
        confirm = [run for ledger in ledgers for run in ledger.confirm]
        runs = finished(confirm)
        row = Row(
            method=method,
            is_baseline=ledgers[0].is_baseline,
            optimizer_share=_median([optimizer_share(ledger) for ledger in ledgers]),
            is_searched=self._plan.space.search.grid or self._plan.space.is_searched(ledgers[0].method),
            winners=[
                Winner(
                    study=ledger.study,
                    trial=winner,
                    settings=settings,
                    is_published=won_as_published(ledger),
                )
                for ledger in ledgers
                if (winner := ledger.winner) and (settings := ledger.settings) is not None
            ],
            search=search,
            statuses=_count(search),
            spent=sum(ledger.spent for ledger in ledgers),
            training_seconds=sum(trial.seconds for trial in search),
            runs=runs,
            lost=lost(confirm),
            confirm_statuses=_count(confirm),
            edges=self._edges(ledgers),
            controls=self._controls(ledgers),
            null_model=self._null_model(ledgers),
            unsettled=self._unsettled(ledgers),
            against_base=self._against_base(ledgers),
        )
        best = next(iter(self._yardstick.baselines()), None)
        if best is None or not self._yardstick.is_settled:
            return row
        over = self._yardstick.over_all(method, [ledger.confirm for ledger in ledgers])
        if best == method:
            return replace(row, over=over)
        by_validation, _ = self._yardstick.over(
            method, [ledger.confirm for ledger in ledgers], best, method, "validation", split=VALIDATION
        )
        return replace(
            row,
            over=over,
            validation_speed_ups=by_validation,
            time_to_target=self._time_to_target(runs, best, method),
            best_run=self._best_run(ledgers[0], self._studies[0][best]),
            against_best=self._difference(
                [ledger.confirm for ledger in ledgers], self._confirm(best), method, "best"
            ),
        )

    def _confirm(self, method: str) -> list[list[TrialRecord]]:
        return [study[method].confirm for study in self._studies]

    def _edges(self, ledgers: Sequence[Ledger]) -> list[Edge]:
        """The ends of ranges at which the winners of more than half of the studies lie."""
        found = [
            edge
            for ledger in ledgers
            if (settings := ledger.settings) is not None
            for edge in edges(ledger.plan, ledger.method.name, settings)
        ]
        counts = Counter((edge.setting, edge.is_lower) for edge in found)
        shown = {key for key, count in counts.items() if 2 * count > len(ledgers)}
        first = {(edge.setting, edge.is_lower): edge for edge in reversed(found)}
        return [edge for key, edge in first.items() if key in shown]

    def _time_to_target(self, runs: Sequence[TrialRecord], best: str, name: str) -> dict[str, SpeedUp]:
        theirs = finished([run for runs in self._confirm(best) for run in runs])
        pairs = pairs_of(theirs, runs)
        if not pairs:
            return {}
        baseline, method = ([run.reports for run in side] for side in zip(*pairs, strict=True))
        return {
            clock: time_to_target_ratio(
                baseline,
                method,
                clock,
                self._generator(name, clock, "target"),
                self._metric,
                paired=self._is_paired,
            )
            for clock in CLOCKS
        }

    def _best_run(self, ledger: Ledger, baseline: Ledger) -> dict[str, Ratio]:
        if not ledger.candidates or not baseline.candidates:
            return {}
        mine, theirs = ledger.candidates[0], baseline.candidates[0]
        return {clock: best_run_ratio(theirs.reports, mine.reports, clock, self._metric) for clock in CLOCKS}

    def _controls(self, ledgers: Sequence[Ledger]) -> list[Control]:
        method = ledgers[0].method.name
        by_name: dict[str, list[tuple[Ledger, SeedContest]]] = {}
        for ledger in ledgers:
            for contest in control_contests(ledger.plan, ledger):
                by_name.setdefault(contest.name, []).append((ledger, contest))
        found: list[Control] = []
        for name, of_studies in by_name.items():
            own, contests = zip(*of_studies, strict=True)  # studies without this control are missing
            measured = [contest.measured for contest in contests]
            runs = [run for part in measured for run in finished(part)]
            if not runs:
                continue
            whole = len(measured) == len(ledgers)
            over = self._yardstick.over_all("", measured, method, name) if whole else Against()
            against = {clock: hardest(rivals) for clock, rivals in over.speed_ups.items()}
            found.append(
                Control(
                    name=name,
                    runs=runs,
                    lost=sum(map(lost, measured)),
                    speed_ups={clock: over.speed_ups[clock][b] for clock, b in against.items()},
                    against=against,
                    against_method=self._difference(
                        [ledger.confirm for ledger in own], measured, method, name
                    ),
                    is_tuned=all(len(contest.entries) > 1 for contest in contests),
                )
            )
        return found

    def _null_model(self, ledgers: Sequence[Ledger]) -> NullModel | None:
        """The model without curvature, fitted to IRE and its controls in every study."""
        studies: list[list[Point]] = []
        for ledger in ledgers:
            contests = [c for c in control_contests(ledger.plan, ledger) if c.name != PUBLISHED]
            points = [(c.name, c.chosen, finished(c.measured)) for c in contests if c.chosen is not None]
            points = [(name, entry.settings, runs) for name, entry, runs in points if len(runs) > 1]
            mine, settings = finished(ledger.confirm), ledger.settings
            if not points or len(mine) < 2 or settings is None:
                return None
            points.append((IRE, settings, mine))
            studies.append([self._point(name, own, runs, settings) for name, own, runs in points])
        model = fitted(studies)
        if model is None:
            return None
        predicted = {name: self._metric.cost(cost) for name, cost in model.predicted.items()}
        return replace(model, predicted=predicted)

    def _point(
        self, name: str, own: Mapping[str, Any], runs: Sequence[TrialRecord], settings: Mapping[str, Any]
    ) -> Point:
        losses = [self._metric.cost(self._value(run)) for run in runs]
        return Point(
            name=name,
            kappa=own["kappa"],
            gamma=own.get("gamma", 1.0),
            lr_ratio=own["lr"] / settings["lr"],
            loss=mean(losses),
            error=stdev(losses) / np.sqrt(len(losses)),
        )

    def _unsettled(self, ledgers: Sequence[Ledger]) -> list[str]:
        names = [
            contest.name
            for ledger in ledgers
            for contest in control_contests(ledger.plan, ledger)
            if contest.name != PUBLISHED
            and not (contest.is_over and not lost(contest.measured) and not lost(ledger.confirm))
        ]
        return list(dict.fromkeys(names))

    def _against_base(self, ledgers: Sequence[Ledger]) -> Difference | None:
        method = ledgers[0].method
        if not method.ire:
            return None
        base = method.ancestors[-3 if method.control else -2]
        if base not in self._studies[0]:
            return None
        return self._difference(
            [ledger.confirm for ledger in ledgers], self._confirm(base), method.name, "base"
        )

    def _difference(
        self,
        mine: Sequence[Sequence[TrialRecord]],
        others: Sequence[Sequence[TrialRecord]],
        *purpose: str,
    ) -> Difference | None:
        """The difference in the judged value of runs that have it; in the validation value if a side has none."""
        name = (
            self._judged
            if all(self._has(side, self._judged) for side in (mine, others))
            else self._metric.name
        )
        mine, others = (
            [[run for run in finished(runs) if run.reports[-1].get(name) is not None] for runs in side]
            for side in (mine, others)
        )
        return difference(
            mine,
            others,
            lambda run: run.final(name),
            self._generator(*purpose),
            paired=self._is_paired,
            is_better_above=self._metric.mode == "max",
        )

    @staticmethod
    def _has(side: Sequence[Sequence[TrialRecord]], name: str) -> bool:
        """Whether each study has a finished run with that value."""
        return all(any(run.reports[-1].get(name) is not None for run in finished(runs)) for runs in side)

    def _value(self, run: TrialRecord) -> float:
        """The final value of a run; controls without test values are compared by validation."""
        value = run.reports[-1].get(self._judged)
        return run.final(self._metric.name) if value is None else value

    def _generator(self, *purpose: str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self._plan.seed, "bootstrap", *purpose))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _count(trials: Sequence[TrialRecord]) -> dict[str, int]:
    counts = Counter(trial.status for trial in trials)
    return {status: counts[status] for status in STATUSES}
