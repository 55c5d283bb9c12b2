"""Progress of a sweep: a live table on a terminal, an occasional line in a log file."""

import time

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ire.methods.foreign import shortened
from ire.sweeps.findings.forecast import forecast, forecast_words
from ire.sweeps.records.records import RUNNING, SEARCH, TIMING, TrialRecord
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.search.stage_counts import stage_heads, stage_lines, stages_now
from ire.sweeps.search.study import Study
from ire.sweeps.watch.watcher import Watcher
from ire.trial.report import FlatFraction, Report

LINE_SECONDS = 10.0
"""Maximum seconds between two lines of a log."""
FRAME_SECONDS = 0.5


class Progress(Watcher):
    """Shows the stage, how many trials are done, each method's runs in every stage, and the time left."""

    def __init__(self, console: Console, *, in_process: bool = False) -> None:
        """With `in_process`, trials share the terminal, perhaps with a debugger: only lines are written, no table."""
        self._console, self._in_process = console, in_process
        self._live: Live | None = None
        self._protocol: Protocol | None = None
        self._shown = 0.0
        self._began = time.monotonic()
        self._done_before = 0
        self._first_report: float | None = None
        self._has_forecast = False

    def opened(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._began = self._shown = time.monotonic()
        self._done_before = protocol.work()[0]
        self._has_forecast = any(trial.stage != SEARCH for trial in protocol.records.trials.values())
        if self._in_process:
            return
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        else:
            self._console.print(
                "starting workers: each is a process that imports torch and loads the data ..."
            )

    @property
    def _sweep(self) -> Protocol:
        assert self._protocol is not None, "opened() comes before every other event"
        return self._protocol

    def reported(self, trial: TrialRecord, report: Report, flat_fractions: dict[str, FlatFraction]) -> None:
        if self._first_report is None:
            self._first_report = time.monotonic()
            if self._live is None and not self._in_process:
                self._console.print(f"first report after {self._first_report - self._began:.0f} s")

    def noticed(self, text: str) -> None:
        self._console.print(text, style="bold yellow", soft_wrap=True, highlight=False)

    def started(self, trial: TrialRecord) -> None:
        """Print a forecast once, before the first confirm runs: which speed-ups the sweep can detect."""
        arms = self._sweep.studies[trial.study].arms
        if self._has_forecast or not all(arm.search_is_over for arm in arms.values()):
            return
        self._has_forecast = True
        plan = self._sweep.plan
        if line := forecast_words(forecast(plan, arms), max(plan.studies, plan.until_decided or 0)):
            self._console.print(line, soft_wrap=True, highlight=False)

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._shown < (FRAME_SECONDS if self._live else LINE_SECONDS):
            return
        self._shown = now
        if self._live:
            self._live.update(self._table(), refresh=True)
        else:
            self._console.print(self._line(), soft_wrap=True)

    def closed(self) -> None:
        if self._protocol is None:  # another watcher failed before this one was opened
            return
        if self._live:
            self._live.stop()
            self._live = None
        else:
            self._console.print(self._line(), soft_wrap=True)

    def _line(self) -> str:
        best = "  ".join(
            f"{shortened(name)} {_best(arm)}" for name, arm in self._study.arms.items() if arm.winner
        )
        best = f"; best {self._sweep.plan.space.selects.name}: {best}" if best else ""
        return f"[{_clock(time.monotonic() - self._began)}] {self._headline()}{best}"

    @property
    def _study(self) -> Study:
        """The current study: the last one of which a trial has started."""
        studies = self._sweep.studies
        begun = [study for study in studies if any(arm.search for arm in study.arms.values())]
        return begun[-1] if begun else studies[0]

    def _headline(self) -> str:
        trials = self._sweep.records.trials.values()
        begun = [trial for trial in trials if trial.stage != TIMING]  # turns of the quiet pass do not count
        ended = sum(trial.status != RUNNING for trial in begun)
        studies = self._sweep.studies
        search = sum(arm.plan.search_trials(arm.method) for arm in self._sweep.arms.values())
        at_most = search + sum(len(runs) for study in studies for runs in study.later_horizons().values())
        count = len(studies)
        study = f"study {self._study.number + 1} of {count}" if count > 1 else ""
        parts = [part for part in (study, stages_now(self._sweep.running)) if part]
        place = f"{', '.join(parts)}: " if parts else ""
        # A raised budget leaves the runs of former winners.
        at_most = max(at_most, len(begun))
        return f"{place}{ended} trials done of at most {at_most}, {self._now()}, {self._left()}"

    def _now(self) -> str:
        """How many trials run; before the first report their workers are still starting."""
        running = len(self._sweep.running)
        if self._first_report is not None or self._in_process:
            return f"{running} running"
        waited = time.monotonic() - self._began
        return f"{running} starting for {waited:.0f} s (their workers import torch and load the data)"

    def _left(self) -> str:
        """The time left at most; in the quiet pass, whose turns are not counted as work, the turn."""
        if any(trial.stage == TIMING for trial in self._sweep.running):
            turns = self._sweep.turns()
            return f"turn {sum(turn.name in self._sweep.records.trials for turn in turns)} of {len(turns)}"
        done, total = self._sweep.work()
        if self._first_report is None or done <= self._done_before:
            return "time left: unknown until the first reports"
        rate = (done - self._done_before) / (time.monotonic() - self._first_report + 1e-9)
        return f"at most {_clock((total - done) / rate)} left"

    def _table(self) -> Table:
        table = Table(
            title=self._headline(),
            title_justify="left",
            title_style="bold",
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        for name in stage_heads(self._study.plan):
            table.add_column(name, justify="left" if name == "method" else "right")
        for line in stage_lines(self._study.plan, self._study.arms):
            table.add_row(*line)
        return table


def _best(arm: Ledger) -> str:
    return f"{arm.winner.final(arm.plan.space.selects.name):.4f}" if arm.winner else "-"


def _clock(seconds: float) -> str:
    seconds = round(seconds)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"
