"""The interface of everything that follows a running sweep: TensorBoard, the progress display, the publisher."""

from ire.sweeps.records.records import TrialRecord
from ire.sweeps.search.protocol import Protocol
from ire.trial.report import FlatFraction, Report


class Watcher:
    """Receives every event after it has been recorded; each method does nothing by default."""

    def opened(self, protocol: Protocol) -> None:
        """The sweep starts or resumes."""

    def started(self, trial: TrialRecord) -> None:
        """A trial was started."""

    def reported(self, trial: TrialRecord, report: Report, flat_fractions: dict[str, FlatFraction]) -> None:
        """A trial reported; `flat_fractions` say what the mask holds of each tensor, by name."""

    def ended(self, trial: TrialRecord) -> None:
        """A trial ended, with any status."""

    def noticed(self, text: str) -> None:
        """A message that the user should see at once: a fault, a wait."""

    def tick(self) -> None:
        """Time has passed; called many times a second."""

    def closed(self) -> None:
        """The sweep is over or interrupted."""
