"""Being an optimizer around another one: hooks, parameter groups, settings, and checkpoints."""
