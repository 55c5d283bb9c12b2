"""The tables of Novack et al. 2023 as presets: their settings, and the accuracies they report."""

import dataclasses

import pytest
from simulated import make_plan, simulate

from ire.methods.method import parse_method
from ire.sweeps.experiments.experiment import open_experiment
from ire.sweeps.plan.preset import load_preset, preset_names
from ire.sweeps.report.tables.verdict import paper


@pytest.mark.parametrize(
    ("name", "method", "settings", "accuracy"),
    [
        ("novack-regularizers-resnet18-cifar10", "sgd-small", {"lr": 0.1, "micro_batch": 128}, 0.9264),
        ("novack-regularizers-resnet18-cifar10", "sgd-gn", {"lr": 0.1, "lambda": 0.01}, 0.9175),
        ("novack-regularizers-resnet18-cifar100", "sgd-large", {"lr": 0.5}, 0.6727),
        ("novack-regularizers-resnet18-cifar100", "sgd-ft", {"lr": 0.1, "lambda": 0.01}, 0.7120),
        ("novack-regularizers-vgg11-cifar10", "sgd-aj", {"lr": 0.01, "lambda": 2e-5}, 0.7409),
        (
            "novack-large-micro-batches-resnet18-cifar10",
            "sgd-gn",
            {"lr": 0.5, "lambda": 0.0025, "micro_batch": 2560},
            None,
        ),
        ("novack-large-micro-batches-resnet18-cifar100", "sgd-ft", {"lr": 0.1, "micro_batch": 2560}, 0.6489),
        ("novack-large-micro-batches-vgg11-2500", "sgd-gn", {"lambda": 0.25, "micro_batch": 2500}, 0.7521),
        (
            "novack-sample-micro-batches-vgg11-baselines",
            "sgd-small",
            {"lr": 0.15, "micro_batch": 100},
            0.7756,
        ),
        (
            "novack-sample-micro-batches-vgg11-50",
            "sgd-gn",
            {"lr": 0.01, "lambda": 0.25, "micro_batch": 50},
            0.7657,
        ),
        (
            "novack-sample-micro-batches-vgg11-small-lr-0.01",
            "sgd-small",
            {"lr": 0.01, "micro_batch": 100},
            0.7473,
        ),
        ("novack-sample-micro-batches-vgg11-1000", "sgd-gn", {"lambda": 0.5, "micro_batch": 1000}, 0.7548),
        ("novack-grafting-resnet18-cifar100", "sgd-ngd", {"lr": 0.3951}, 0.6683),
        ("novack-grafting-vgg16-cifar10", "sgd-graft", {"lr": 0.05}, 0.8865),
        ("novack-grafting-vgg16-cifar100", "sgd-ngd", {"lr": 0.4322}, 0.5805),
    ],
)
def test_settings_and_accuracies_are_the_papers(name, method, settings, accuracy):
    preset = load_preset(name)
    published = preset.space().published(parse_method(method))
    assert {key: published[key] for key in settings} == settings
    assert published["momentum"] == published["weight_decay"] == 0.0
    assert preset.paper.get(method, {}).get("test_accuracy") == accuracy
    assert published["final_lr_fraction"] == 1.0  # a constant rate


@pytest.mark.parametrize("name", [name for name in preset_names() if name.startswith("novack")])
def test_numbers_of_the_best_checkpoint_are_called_that(name):
    preset = load_preset(name)
    is_final = "-sample-" in name  # that table alone has both
    assert preset.paper_of == ("the best checkpoint" if preset.paper and not is_final else None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "novack-regularizers-resnet18-cifar10",
            ": its numbers are from the best checkpoint, ours from the last step",
        ),
        ("novack-sample-micro-batches-vgg11-50", ""),
    ],
)
def test_the_report_says_what_the_papers_numbers_are_of(name, said, tmp_path):
    plan = dataclasses.replace(make_plan(methods=("sgd", "sgd-ire")), preset=name, curve=())
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    simulate(plan, tmp_path)
    assert paper(open_experiment(tmp_path)).title == f"Beside the paper{said}"
