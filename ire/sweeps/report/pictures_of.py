"""All figures of one sweep that have data, the verdict first."""

from ire.sweeps.findings.results import Results
from ire.sweeps.report.forest import forest
from ire.sweeps.report.kappa_gamma import kappa_gamma_pictures
from ire.sweeps.report.palette import styles
from ire.sweeps.report.pictures import Picture
from ire.sweeps.report.run_pictures import run_pictures
from ire.sweeps.report.setting_pictures import setting_pictures
from ire.sweeps.report.trial_pictures import trial_pictures
from ire.sweeps.report.tuning_pictures import tuning_pictures


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
