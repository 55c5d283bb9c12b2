"""One trial in plain PyTorch: the loop, its state, checkpoints and measurements."""
