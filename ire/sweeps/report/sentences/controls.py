"""What controls say of a method: whether its gain comes from the boost, and from the curvature."""

from collections.abc import Collection

from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.differences import Difference
from ire.sweeps.findings.rows import Control, Row
from ire.sweeps.report.sentences.parts import names_joined
from ire.sweeps.search.stages import KAPPA_0, PUBLISHED
from ire.trial.metric import Metric


def control_findings(comparison: Comparison) -> list[str]:
    """What remains of each method's advantage when one of its parts is removed."""
    sentences: list[str] = []
    for row in comparison.rows:
        known = {control.name: control for control in row.controls if control.name != PUBLISHED}
        if row.unsettled:
            sentences.append(
                f"{row.method}: its controls are not settled, because runs of it or of its "
                f"control{'s' * (len(row.unsettled) > 1)} {names_joined(row.unsettled)} are missing, diverged or "
                "failed."
            )
        elif KAPPA_0 in known and not all(control.is_tuned for control in known.values()):
            sentences.append(
                f"{row.method}: its controls cannot show whether its gain comes from the curvature, because they ran "
                "at the strength that was tuned for it. With --candidates 2 or more, each control's strength is tuned "
                "as well."
            )
        elif KAPPA_0 in known:
            if row.null_model is not None and row.null_model.fits:
                sentences.append(
                    f"{row.method}: a model without curvature, in which only the mean step length matters, "
                    f"predicts {_what(comparison.metric)} of the method and its controls "
                    f"(p = {row.null_model.p:.2f} for the misfit)."
                )
            sentences += _of_controls(row, comparison.metric, known.pop(KAPPA_0), known.values())
    return sentences


def _of_controls(row: Row, metric: Metric, boost: Control, others: Collection[Control]) -> list[str]:
    method, helps = row.method, is_better(boost.against_method)
    sentences: list[str] = []
    if not helps:
        worse = boost.against_method is not None and boost.against_method.shows_worse
        ends = f"is {metric.better}" if worse else f"is not shown to be {metric.worse}"
        sentences.append(
            f"No evidence that the boost helps {method}: with kappa = 0 the final {metric.words} {ends}."
        )
    beaten = [control.name for control in others if is_better(control.against_method)]
    unbeaten = [control.name for control in others if not is_better(control.against_method)]
    if unbeaten:
        beats = f" It does beat {names_joined(beaten)}." if beaten else ""
        sentences.append(
            f"{method}'s gain cannot be attributed to curvature: it does not beat the "
            f"control{'s' * (len(unbeaten) > 1)} {names_joined(unbeaten)}, each at its own tuned strength.{beats}"
        )
    elif helps:
        sentences.append(
            f"The choice of coordinates explains {method}'s gain: it beats all its controls, each at its own tuned "
            f"strength.{_beside_base(row, metric)}"
        )
    else:
        sentences.append(f"The choice of coordinates matters: {method} beats all its other controls.")
    return sentences


def _beside_base(row: Row, metric: Metric) -> str:
    """How the separately tuned base compares: controls run with the method's own settings."""
    if row.against_base is None:
        return ""
    if row.against_base.shows_better:
        return f" Its base optimizer, tuned on its own, ends {metric.worse} as well."
    if row.against_base.shows_worse:
        return f" The base optimizer, tuned on its own, reaches an even {metric.better} {metric.words}."
    return " Whether it also beats its own tuned base is not shown."


def is_better(difference: Difference | None) -> bool:
    """Whether a difference is known and shows that the first side ends better."""
    return difference is not None and difference.shows_better


def _what(metric: Metric) -> str:
    return "the losses" if metric.is_loss else f"the {metric.words}"
