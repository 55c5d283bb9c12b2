"""A sweep without a cluster: trials whose reports are a formula, run on `slots` simulated workers."""

import math
from pathlib import Path

from small_space import digits

from ire.methods.method import parse_method
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import FAILED, RUNNING, TrialRecord
from ire.sweeps.search.protocol import Protocol


def make_plan(**fields) -> Plan:
    """A plan of the digits space, small enough to follow."""
    defaults = {
        "name": "simulated",
        "task": "digits",
        "methods": ("sgd", "sgd-ire", "sam-sgd"),
        "trials": 6,
        "confirm_seeds": 2,
        "seed": 0,
        "space": digits(),
    }
    return Plan(**defaults | fields)


def reports_of(trial: TrialRecord):
    """Every report of a trial: a loss that falls to a floor, the higher the farther lr is from 0.05."""
    spec, method = trial.spec, parse_method(trial.method)
    lr = spec.settings["lr"]
    floor = 0.05 + 0.1 * abs(math.log10(lr / 0.05)) + 1e-3 * (spec.seed % 97) / 97 + 2 / spec.horizon
    for step in filter(spec.reports_at, range(1, spec.horizon + 1)):
        loss = floor + 2 * math.exp(-step / 40)
        diverged = lr > 0.6 and step > 60
        yield {
            "step": step,
            "gradient_evaluations": method.gradient_evaluations(spec.settings, spec.horizon, steps=step),
            "seconds": step / 100,
            "train_loss": loss,
            "val_loss": None if diverged or spec.timing else loss,
            "steps_per_second": 100.0,
            "diverged": diverged,
            **({"test_loss": 1.1 * loss} if spec.test and step == spec.horizon else {}),
        }
        if diverged:
            return


class Killed(Exception):
    """The driver was killed here."""


def simulate(
    plan: Plan,
    folder: Path,
    *,
    slots: int = 1,
    kill_after: int | None = None,
    fails=(),
    publish=lambda: None,
    reports=reports_of,
    **options,
) -> Protocol:
    """Run the protocol to its end, or until `kill_after` events; trials named in `fails` raise an error.

    `reports` makes the reports of a trial.
    """
    protocol = Protocol(plan, folder, publish=publish, **options)
    streams = {}
    events = 0

    def event():
        nonlocal events
        events += 1
        if events == kill_after:
            raise Killed

    while True:
        while len(streams) < slots and (trial := protocol.next_trial()):
            streams[trial.name] = iter(reports(trial))
            event()
        if not streams:
            assert protocol.is_over
            return protocol
        for name in list(streams):
            trial = protocol.records.trials[name]
            if name in fails and trial.step >= 40:
                protocol.end(trial, FAILED, "RuntimeError: boom")
                del streams[name]
                continue
            report = next(streams[name])
            while report["step"] < trial.step:  # a resumed trial sends its past again
                assert protocol.report(trial, report)
                report = next(streams[name])
            if not protocol.report(trial, report):
                del streams[name]
            assert (trial.status == RUNNING) == (name in streams)
            event()


def table(protocol: Protocol) -> list:
    """Everything that must be equal between two sweeps."""
    return [
        (
            t.name,
            t.arm,
            t.stage,
            t.number,
            t.origin,
            t.variant,
            t.spec,
            t.status,
            [r["val_loss"] for r in t.reports],
        )
        for t in protocol.records.trials.values()
    ]
