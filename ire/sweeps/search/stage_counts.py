"""The progress of each method of one study, stage by stage, for the progress display and `ire status`."""

from collections import Counter
from collections.abc import Iterable, Mapping

from ire.methods.foreign import shortened
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import (
    CONFIRM,
    CONTROL,
    CURVE,
    DIVERGED,
    FAILED,
    PRUNED,
    RUNNING,
    SEARCH,
    SELECT,
    TIMING,
    TrialRecord,
)
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.stages import control_contests, curve_baselines

STAGE_WORDS = {
    SEARCH: "search",
    SELECT: "selection",
    CONFIRM: "confirm runs",
    CURVE: "baseline curves",
    CONTROL: "controls",
    TIMING: "quiet pass",
}


def stage_heads(plan: Plan) -> list[str]:
    """The columns of `stage_lines`. Runs are counted when they start; `lost` ones diverged or failed."""
    best = f"best {plan.space.selects.name}"
    return ["method", "search", "pruned", "lost", best, "select", "confirm", "curve", "controls"]


def stage_lines(plan: Plan, ledgers: Mapping[str, Ledger]) -> list[list[str]]:
    """One line per method, with the columns `stage_heads`; `plan` and `ledgers` belong to one study."""
    on_curve = curve_baselines(plan, ledgers.values()) if plan.curve and len(ledgers) > 1 else []
    return [_line(plan, ledger, is_curve=ledger in on_curve) for ledger in ledgers.values()]


def _line(plan: Plan, ledger: Ledger, *, is_curve: bool) -> list[str]:
    ends = Counter(trial.status for trial in ledger.search)
    later = Counter(trial.stage for trial in ledger.later)
    planned = "" if ledger.search_is_over else f"/{plan.search_trials(ledger.method)}"
    contests = control_contests(plan, ledger)
    best = ledger.candidates[0].final(plan.space.selects.name) if ledger.candidates else None
    return [
        shortened(ledger.method.name),
        f"{len(ledger.search)}{planned}",
        str(ends[PRUNED]),
        str(ends[DIVERGED] + ends[FAILED]),
        "-" if best is None else f"{best:.4f}",
        _of(later[SELECT], None),
        _of(later[CONFIRM], plan.confirm_seeds),
        _of(later[CURVE], len(plan.curve) * plan.confirm_seeds if is_curve else None),
        _of(later[CONTROL], len(contests) * plan.confirm_seeds or None),
    ]


def _of(count: int, planned: int | None) -> str:
    return f"{count}/{planned}" if planned else str(count) if count else "-"


def stages_now(trials: Iterable[TrialRecord]) -> str:
    """The stages of the running trials, in words; empty if none is running."""
    running = {trial.stage for trial in trials if trial.status == RUNNING}
    return " and ".join(words for stage, words in STAGE_WORDS.items() if stage in running)
