"""What may be searched: one declarative file a task, and the reader for them.

Imports of the four packages point one way: `sweeps -> search_spaces -> trainables -> ire`. A space is about
the settings of methods, so the reader asks `ire.methods.method` which there are and can name the file and the
key of every mistake itself.
"""

from search_spaces.dimensions import Choice, Dimension, Fixed, Interval
from search_spaces.space import Space, find_space, space_names

__all__ = ["Choice", "Dimension", "Fixed", "Interval", "Space", "find_space", "space_names"]
