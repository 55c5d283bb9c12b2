"""From mask to step: the paths that boost an update, and the update rules they know."""
