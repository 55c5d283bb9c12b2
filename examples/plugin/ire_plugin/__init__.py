"""An optimizer and a task that `pip install` adds to `ire`."""
