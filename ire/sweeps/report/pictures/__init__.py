"""All figures of one sweep that have data, the verdict first."""

from ire.sweeps.findings.results import Results
from ire.sweeps.report.drawing.palette import styles
from ire.sweeps.report.drawing.picture import Picture
from ire.sweeps.report.pictures.forest import forest
from ire.sweeps.report.pictures.kappa_gamma import kappa_gamma_pictures
from ire.sweeps.report.pictures.runs import run_pictures
from ire.sweeps.report.pictures.settings import setting_pictures
from ire.sweeps.report.pictures.trials import trial_pictures
from ire.sweeps.report.pictures.tuning import tuning_pictures


def pictures_of(results: Results) -> list[Picture]:
    """The figures, in the order of a reader's questions."""
    looks = styles([results.plan.method(name) for name in results.plan.methods])
    verdict = forest(results, looks)
    return [
        *([verdict] if verdict else []),
        *run_pictures(results, looks),
        *tuning_pictures(results, looks),
        *trial_pictures(results, looks),
        *kappa_gamma_pictures(results),
        *setting_pictures(results, looks),
    ]
