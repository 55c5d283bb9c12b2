"""Two workers train as one worker does on the concatenated batch."""

from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from search_spaces import find_space
from trainables.loop import train
from trainables.methods import UPDATES, parse_method
from trainables.trial import TrialSpec


def spec_of(name: str) -> TrialSpec:
    space, method = find_space("stdlib-lm"), parse_method(name)
    settings = space.published(method) | {"start_fraction": 0.25, "interval": 3}
    if method.update:  # several steps for one, and masks that turn on ties: rounding grows with the rate
        settings |= {"lr": 0.03}
    extra = {"external_norms": ((1, 0.8), (3, 0.5), (4, 0.4))} if method.update == "external" else {}
    return TrialSpec(
        task="stdlib-lm",
        method=name,
        settings=method.resolve({k: v for k, v in settings.items() if k in method.settings}),
        seed=2,
        horizon=4 if method.update else 12,
        eval_interval=3,
        **extra,
    )


PREFIXES = {(2.0, 6): [], (4.0, 6): [6], (2.0, 4): [], (4.0, 4): [4], (1.0, 7): [6], (1.0, 5): []}
"""Where a trial of this kappa and start begins; step 4 has no report, so that only its like can begin there."""


def work(rank: int, folder: str, methods: tuple[str, ...]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    curves = {}
    for name in methods:
        reports = []
        train(spec_of(name), lambda r, _, out=reports: out.append(r) or True, rank=rank, world_size=2)
        curves[name] = reports
    for kappa, start in PREFIXES:
        for prefixes in (None, f"{folder}/prefixes"):
            spec, reports, begun = spec_of("adamw-ire"), [], []
            spec = replace(spec, settings={**spec.settings, "start_fraction": start / 12, "kappa": kappa})
            train(
                spec,
                lambda r, _, out=reports: out.append(r) or True,
                prefixes=prefixes,
                on_prefix=lambda training, out=begun: out.append(training.step),
                rank=rank,
                world_size=2,
            )
            curves[f"kappa {kappa:g} from {start}, {'shared' if prefixes else 'alone'}"] = reports
        curves.setdefault("begun", []).append(begun)
    torch.save(curves, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_give_the_curve_of_one_on_the_concatenated_batch_to_rounding(tmp_path):
    methods = (
        "adamw",
        "adamw-ire",
        "adamw-ire-random",
        "sgd-small-ire",
        *(f"sgd-{update}" for update in UPDATES if update != "aj"),
    )
    mp.spawn(work, args=(str(tmp_path), methods), nprocs=2)
    both = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    clocks = ("seconds", "steps_per_second")
    for rank in (0, 1):
        assert both[rank]["begun"] == list(PREFIXES.values())
        for kappa, start in PREFIXES:
            shared, alone = (
                [
                    {k: v for k, v in r.items() if k not in clocks}
                    for r in both[rank][f"kappa {kappa:g} from {start}, {way}"]
                ]
                for way in ("shared", "alone")
            )
            assert shared == alone, (kappa, start)
    for name in methods:
        alone = []
        train(spec_of(name), lambda r, _, out=alone: out.append(r) or True)
        keys = ("step", "gradient_evaluations", "train_loss", "val_loss", "val_accuracy")
        norms = {"grad_norm", "step_length", "micro_grad_norm", "penalty"} & alone[0].keys()
        for key in (*keys, *norms):
            one, *two = (
                [report[key] for report in reports] for reports in (alone, both[0][name], both[1][name])
            )
            assert two[0] == two[1], "the workers disagree"
            assert one == pytest.approx(two[0], rel=2e-3 if key in norms else 2e-4), (name, key)
