"""Reads the micro-batch gradient norms of another run, which external grafting uses."""

from ire.invalid_input import InvalidInput, unknown
from ire.methods.updates import UPDATES
from ire.storage.credentials import without_credentials
from ire.sweeps.records.open_home import home_at
from ire.sweeps.records.records import read_records

NORM = "micro_grad_norm"
"""The key of the norm in a report."""


def recorded_norms(source: str) -> tuple[tuple[int, float], ...]:
    """(steps taken, norm) of every report of the trial `source`, as `EXPERIMENT/TRIAL`; raises `InvalidInput`.

    EXPERIMENT is the folder or URI of a sweep. A running trial gives the norms of its reports so far.
    """
    source = without_credentials(source)
    location, slash, name = source.rstrip("/").rpartition("/")
    if not slash or not location:
        raise InvalidInput(
            f"--external {source!r}: must be an experiment folder and a trial in it, as in "
            "experiments/NAME/sgd-small-0000"
        )
    try:
        trials = read_records(home_at(location).folder).trials
    except InvalidInput as error:
        raise InvalidInput(f"--external: {error}") from error
    if name not in trials:
        raise unknown("trial", name, trials, where=f"--external {location}")
    reports = trials[name].reports
    norms = [(report["step"], norm) for report in reports if (norm := report.get(NORM)) is not None]
    if not norms or len(norms) < len(reports):
        raise InvalidInput(
            f"--external {source!r}: this trial of {trials[name].method} does not have {NORM} in every report; "
            f"trials of {', '.join(f'sgd-{update}' for update in UPDATES)} do, unless they diverged"
        )
    return tuple(norms)
