"""What may be searched: one TOML file a task, and the reader for them.

A space is about the settings of methods, so the reader asks `ire.methods.method` which there are, and names the
file and the key of every mistake itself. It imports `trainables` only to find the file beside a task of your own.
"""

from search_spaces.dimensions import Choice, Dimension, Fixed, Interval
from search_spaces.space import Space, find_space, space_names

__all__ = ["Choice", "Dimension", "Fixed", "Interval", "Space", "find_space", "space_names"]
