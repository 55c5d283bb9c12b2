"""Measures how often verdicts are wrong: simulates whole sweeps, searches included, and judges them as real ones.

    python benchmarks/calibration.py [--sweeps 1000] [--protocol 200] [--surface digits] [--line warm] [--write]

A study is a search of every method on a response surface (fitted to this project's own results: `stdlib-lm`, whose
published settings cost 0.12 nats, and `digits`), the choice of a winner, its confirm runs, and the baselines' curves. A
sweep is three or five of them. Searches draw settings at random; `--protocol N` adds N sweeps per line that the
protocol itself searches (TPE, ASHA, selection seeds). `--write` saves the rows in
`ire/sweeps/findings/calibration.toml`; each report quotes the row that is most similar to its sweep.

faster, slower: the share of sweeps that call the method (any of them, where there are five) faster or slower. covers:
the share whose interval contains the truth. estimate: the geometric mean. could find: the median of the smallest
speed-up that would have been found according to the reports. forecast: the median of its forecast before the confirm
stage.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tomli_w
from simulated_lines import BUDGETS, LINES, OF_PROTOCOL, SURFACES, Line
from simulated_studies import Study, protocol_sweep, random_study

from ire.sweeps.findings import calibration
from ire.sweeps.findings.calibration import AT_RANDOM, BY_PROTOCOL, Calibration, calibrations
from ire.sweeps.findings.power import power
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW
from ire.sweeps.findings.statistics.speedup import speed_ups
from ire.sweeps.findings.statistics.verdict import FASTER, NOT_SHOWN, SLOWER, SpeedUp, judge

TABLE = Path(calibration.__file__).with_name("calibration.toml")
CLOCK = "gradient_evaluations"


def judged(
    line: Line, studies: Sequence[Study], draws: np.random.Generator
) -> dict[str, Mapping[str, tuple]]:
    """The findings of a sweep with these studies: each challenger's speed-up over each baseline, with its draws."""
    baselines = [i for i, method in enumerate(line.methods) if method.is_baseline]
    factors, found = np.array(line.factors), {}
    for i, method in enumerate(line.methods):
        if method.is_baseline:
            continue
        found[str(i)] = {}
        for b in baselines:
            losses = np.array([np.r_[study[i].mean(), study[b].mean(axis=0)] for study in studies])
            costs = {CLOCK: np.full(len(studies), np.log(line.methods[b].cost / method.cost))}
            speed_up, drawn = speed_ups(losses, factors, costs, draws)
            found[str(i)][str(b)] = speed_up[CLOCK], drawn[CLOCK]
    return found


def outcome(
    line: Line, surface: str, searched: str, sweeps: Iterable[Sequence[Study]], draws: np.random.Generator
) -> Calibration:
    """The shares of sweeps; coverage and estimate are of the first judged method."""
    rows = []
    for studies in sweeps:
        for count in range(3, line.until + 1) if line.until else [len(studies)]:
            found = judged(line, studies[:count], draws)
            speed_ups = {m: {b: pair[0] for b, pair in over.items()} for m, over in found.items()}
            verdicts = judge(speed_ups, looks=line.until - 2 if line.until else 1)
            if any(v.verdict != NOT_SHOWN for v in verdicts.values()):
                break
        first = next(iter(found))
        hardest = found[first][verdicts[first].against]
        rows.append(
            (
                any(v.verdict == FASTER for v in verdicts.values()),
                any(v.verdict == SLOWER for v in verdicts.values()),
                covers(hardest[0], line.truth),
                np.log(hardest[0].ratio.value),
                power(hardest[1], studies=count).least_detectable,
            )
        )
    faster, slower, covered, logs, least = zip(*rows, strict=True)
    return Calibration(
        surface=surface,
        line=line.name,
        searched=searched,
        studies=3 if line.until else len(studies),
        sweeps=len(rows),
        faster=float(np.mean(faster)),
        slower=float(np.mean(slower)),
        covers=float(np.mean(covered)),
        estimate=round(float(np.exp(np.mean(logs))), 3),
        could_find=round(float(np.median(least)), 2),
    )


def covers(found: SpeedUp, truth: float) -> bool:
    """Whether an interval contains the truth; a one-sided bound contains everything beyond it."""
    low = found.low.censored == BELOW or found.low.value <= truth * (1 + 1e-9)
    high = found.high.censored == ABOVE or found.high.value >= truth * (1 - 1e-9)
    return low and high


def simulated(line: Line, surface: str, studies: int, sweeps: int, seed: int = 0) -> Calibration:
    """Sweeps with the given number of studies, whose searches draw their settings at random."""
    draws = np.random.default_rng([seed, studies, line.seed])
    made = (
        [random_study(line, SURFACES[surface], BUDGETS[surface], draws) for _ in range(line.until or studies)]
        for _ in range(sweeps)
    )
    return outcome(line, surface, AT_RANDOM, made, draws)


def words(row: Calibration) -> str:
    """A row of the table."""
    name = row.line + (", protocol" if row.searched == BY_PROTOCOL else "")
    studies = "3-6" if "--until-decided" in row.line else row.studies
    return (
        f"{name:<41} {studies:>7}  {row.faster:>6.3f}  {row.slower:>6.3f}  {row.covers:>6.3f}"
        f"  {row.estimate:>8.3f}  {row.could_find:>10.2f}"
    )


def write(rows: Sequence[Calibration]) -> None:
    """Replace the rows that were measured before."""

    def key(row: Calibration) -> tuple:
        return row.surface, row.searched, row.line, row.studies

    calibrations.cache_clear()  # another run may have written in the meantime
    merged = {key(row): row for row in (*calibrations(), *rows)}
    with TABLE.open("wb") as file:
        tomli_w.dump({"rows": [asdict(row) for row in merged.values()]}, file)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sweeps", type=int, default=1000, help="a line, searched at random")
    parser.add_argument("--protocol", type=int, default=0, help="sweeps a line that the protocol searches")
    parser.add_argument("--surface", choices=SURFACES, action="append", help="one of them; may be repeated")
    parser.add_argument("--line", default="", help="only lines with this in their names")
    parser.add_argument("--write", action="store_true", help="keep the rows for reports")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print("verdicts in gradient evaluations\n")
    with ProcessPoolExecutor(options.processes) as pool:
        for surface in options.surface or SURFACES:
            budget, rows = BUDGETS[surface], []
            print(
                f"{surface}: {budget.trials} trials, {budget.candidates} candidates, {budget.seeds} seeds a study; "
                f"{options.sweeps} sweeps a line, {options.protocol} by the protocol"
            )
            print(f"{'':<41} studies  faster  slower  covers  estimate  could find  forecast")
            lines = [line for line in LINES if options.line in line.name and options.sweeps]
            asked = [(line, n) for line in lines for n in ((3,) if line.until else (3, 5))]
            answers = [pool.submit(simulated, line, surface, n, options.sweeps) for line, n in asked]
            for answer in answers:
                rows.append(answer.result())
                print(words(rows[-1]), flush=True)
            for line in OF_PROTOCOL if options.protocol else ():
                if options.line not in line.name:
                    continue
                jobs = [
                    pool.submit(protocol_sweep, line, SURFACES[surface], budget, number)
                    for number in range(options.protocol)
                ]
                sweeps, forecasts = zip(*(job.result() for job in jobs), strict=True)
                for studies in (3, 5):
                    draws = np.random.default_rng([1, studies, line.seed])
                    made = [sweep[:studies] for sweep in sweeps]
                    rows.append(outcome(line, surface, BY_PROTOCOL, made, draws))
                    forecast = f"{np.median(forecasts):>10.2f}" if studies == 3 else ""
                    print(words(rows[-1]) + forecast, flush=True)
            if options.write:
                write(rows)
            print()


if __name__ == "__main__":
    main()
