"""The `ire` command: arguments in, one call of the Python API, text out."""

import sys


def main() -> None:
    """Run the command; a user's mistake is one line on standard error and exit code 2."""
    from ire.extras import explain_missing
    from ire.invalid_input import InvalidInput

    try:
        with explain_missing("the `ire` command"):
            from ire.sweeps.command.app import app

            app()
    except InvalidInput as error:
        print(f"ire: {error}", file=sys.stderr)
        sys.exit(2)
