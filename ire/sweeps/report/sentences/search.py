"""How the settings were searched, in sentences: warm starts, shared steps, widened ranges, unfinished searches."""

from ire.sweeps.findings.results import Results
from ire.sweeps.records.records import SEARCH
from ire.sweeps.report.sentences.parts import names_joined
from ire.sweeps.search.widening import Moved, has_room, widest


def widened(results: Results) -> list[str]:
    """Which ranges were widened, and how many trials that added."""
    sentences: list[str] = []
    for widening in results.comparison.widenings:
        moved = dict.fromkeys(f"{m} ({', '.join(_sharing(results, m))})" for m in widening.moved)
        study = f" in study {widening.study + 1}" if results.comparison.studies > 1 else ""
        sentences.append(
            f"Search winners were at the end of ranges{study}, which were widened: {'; '.join(moved)}. Every method "
            f"was allowed {widening.trials} more search trials."
        )
    return sentences


def _sharing(results: Results, moved: Moved) -> list[str]:
    """The methods that search a range that was widened."""
    plan = results.plan
    return [
        name
        for name in plan.methods
        if moved.setting in plan.space.dimensions(plan.method(name))
        and plan.space.table_of(plan.method(name), moved.setting) == moved.table
    ]


def unfinished(results: Results) -> list[str]:
    comparison = results.comparison
    sentences: list[str] = []
    ends = [edge for row in comparison.rows for edge in row.edges]
    if ends:
        remedy = "Widen the range and run all methods again."
        searched = widest(results.plan, comparison.widenings)
        if any(has_room(searched, edge) for edge in ends):
            remedy = f"`ire resume {results.home.argument} --widen` widens it for all methods that share it."
        sentences.append(
            f"Not finished: winners are at the end of a range ({'; '.join(map(str, ends))}). {remedy}"
        )
    starved = [row.method for row in comparison.rows if row.is_starved]
    if starved:
        sentences.append(
            f"Not finished: too few trials of {names_joined(starved)} ran to the end within the budget. Raise --trials."
        )
    return sentences


def shared_steps(results: Results) -> list[str]:
    saved = shared(results)
    if not saved:
        return []
    counted = sum(trial.gradient_evaluations for trial in results.records.trials.values())
    shares = [
        f"{row.method}'s search {shared(results, row.method) / row.spent:.0%}"
        for row in results.comparison.rows
        if shared(results, row.method)
    ]
    return [
        f"Trials share the steps before IRE starts, which were trained once. This saved {saved} of {counted} gradient "
        f"evaluations ({', '.join([f'{saved / counted:.0%}', *shares])}). Budgets and clocks count them as spent."
    ]


def shared(results: Results, method: str | None = None) -> int:
    """Gradient evaluations that trials count but share with another trial, of one method's search or of all trials."""
    return sum(
        min(trial.prefix, trial.gradient_evaluations)  # a trial that fails at once counts none
        for trial in results.records.trials.values()
        if method is None or (trial.arm == method and trial.stage == SEARCH)
    )


def after_a_look(results: Results) -> list[str]:
    """What was changed after the first run: extending a sweep until its result fits makes false verdicts likely."""
    first = results.records.runs[0] if results.records.runs else None
    registered = first.get("registered") if first else None
    if registered is None:
        return []
    now = results.plan.registered
    changed = [
        f"{name} {registered[name]} -> {now[name]}"
        for name in now
        if registered.get(name, now[name]) != now[name]
    ]
    if results.plan.widen and first is not None and not first.get("widen"):
        changed.append("widen no -> yes")
    return [f"Changed after the sweep had started: {', '.join(changed)}."] if changed else []


def searched_by_default(results: Results) -> list[str]:
    """Which methods have no table in the space file, and what was searched instead."""
    space, arms = results.plan.space, map(results.plan.method, results.plan.methods)
    sentences = dict.fromkeys(space.searched_by_default(arm) for arm in arms)
    return [f"{sentence}." for sentence in sentences if sentence]


def not_searched(results: Results) -> list[str]:
    """Which methods were not searched, and what is known about the cost of their settings."""
    sentences: list[str] = []
    for row in results.comparison.rows:
        if row.is_searched:
            continue
        known = results.plan.space.fixed.get(row.method)
        cost = (
            "the cost of finding them is unknown"
            if known is None or known.search_cost is None
            else f"finding them cost {known.search_cost} gradient evaluations, according to the space file"
        )
        sentences.append(
            f"{row.method} was not searched: its settings are fixed, and {cost}. Comparisons with it are about these "
            "settings."
        )
    return sentences


def warm_started(results: Results) -> list[str]:
    """Which trials of another sweep the searches started from."""
    imported = results.plan.imported
    if imported is None:
        return []
    names = [name for name in results.plan.methods if imported.of(name)]
    trials = ", ".join(f"{name} {len(imported.of(name))}" for name in names)
    cost = ", ".join(f"{name} {cost}" for name, cost in imported.spent.items())
    studies = ""
    if results.comparison.shares_trials:
        studies = (
            f" {results.comparison.studies} studies start from those of {imported.studies} there; a verdict about "
            "methods needs as many there."
        )
    elif imported.studies > 1:
        studies = " Each study started from the trials of one study there."
    return [
        f"Searches were warm-started with trials of {imported.source} ({trials}). Their gradient evaluations count as "
        f"spent here ({cost}).{studies}"
    ]
