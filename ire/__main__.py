"""Makes `python -m ire` the `ire` command."""

from ire.sweeps.command import main

if __name__ == "__main__":
    main()
