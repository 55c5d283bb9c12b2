"""A small sweep from Python, its data frames and its report; a minute on two cores."""

from pathlib import Path

from ire import Experiment, sweep


def main(storage: Path | str = "experiments") -> Experiment:
    """Tune two methods with two trials each and confirm them on two seeds: too few to conclude anything."""
    experiment = sweep(
        "digits",
        methods=["sgd", "sgd-ire"],
        trials=2,
        confirm_seeds=2,
        studies=1,
        curve=False,
        storage=str(storage),
    )
    print(experiment.trials[["trial", "stage", "status", "val_loss"]])
    print(experiment.winners.T)
    print(experiment.verdict)
    print(experiment.best_settings("sgd-ire"))
    print(f"report: {experiment.folder / 'report' / 'report.html'}")
    return experiment


if __name__ == "__main__":
    main()
