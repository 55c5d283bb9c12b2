"""From mask to step: the three ways of boosting an update, and the update rules that are known."""
