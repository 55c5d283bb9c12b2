"""The `ire` command: arguments in, one call of the Python API, text out."""

from ire.sweeps.command.failures import leave, run


def main() -> None:
    """Run the command; any failure is one line on standard error (`ire.sweeps.command.failures`)."""
    leave(run(_app))


def _app() -> None:
    from ire.extras import explain_missing

    with explain_missing("the `ire` command"):  # typer and rich may be what is missing
        from ire.sweeps.command.app import app

        app()
