"""How to run a sweep again: the command."""

import shlex

from ire.sweeps.findings.results import Results
from ire.sweeps.plan.options import PLANNED
from ire.sweeps.plan.preset import load_preset
from ire.trial.scale import split_scale
from trainables.functions.in_process import is_of_no_file


def reproduce(results: Results) -> str:
    """The command that runs this sweep again."""
    plan, what, inherited = results.plan, results.plan.task, {}
    if is_of_no_file(what):
        what = f"train.py:{what.partition(':')[2]}"
    if plan.preset is not None:
        scale = split_scale(plan.task)[1]
        what = f"--preset {plan.preset}" + (f" --scale {shlex.quote(scale)}" if scale else "")
        inherited = {"precision": load_preset(plan.preset).precision, "share_prefix": None}
    else:
        what = shlex.quote(what)
    words = ["ire sweep", what]
    for name, option in PLANNED.items():
        value = getattr(plan, name)
        default = inherited.get(name, option.default)
        if option.repeated == "always" or (option.repeated != "never" and value != default):
            words.append(option.words(value))
    if plan.preset is None and plan.space.source != f"{split_scale(plan.task)[0]}.toml":
        words.append("--space FILE  # as printed in sweep.toml")
        if is_of_no_file(plan.task):
            words[-1] += "; train.py must hold the function, which no file held"
    return " ".join(words)
