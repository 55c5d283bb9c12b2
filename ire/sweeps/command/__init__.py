"""The `ire` command: arguments in, one call of the Python API, text out."""

from ire.extras import explain_missing
from ire.sweeps.command.failures import leave, run


def main() -> None:
    """Run the command; any failure is one line on standard error (`ire.sweeps.command.failures`)."""
    leave(run(_app))


def _app() -> None:
    with explain_missing("the `ire` command"):
        from ire.sweeps.command.app import app  # typer and rich may be what is missing

        app()
