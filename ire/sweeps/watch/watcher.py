"""Who looks at a sweep while it runs: the interface that TensorBoard and the progress display implement."""

from ire.sweeps.records.records import TrialRecord
from ire.sweeps.search.protocol import Protocol
from ire.trial.report import Report


class Watcher:
    """Told of every event after it has been recorded; does nothing unless a subclass does."""

    def opened(self, protocol: Protocol) -> None:
        """The sweep is about to begin or to go on."""

    def started(self, trial: TrialRecord) -> None:
        """A trial was handed out."""

    def reported(self, trial: TrialRecord, report: Report, flat_fractions: dict[str, float]) -> None:
        """A trial reported; `flat_fractions` are the shares of the tensors in the mask, by name."""

    def ended(self, trial: TrialRecord) -> None:
        """A trial ended, whatever way."""

    def noticed(self, text: str) -> None:
        """Something that people should know at once: a fault, a wait."""

    def tick(self) -> None:
        """Time has passed; called many times a second."""

    def closed(self) -> None:
        """The sweep is over or interrupted."""
