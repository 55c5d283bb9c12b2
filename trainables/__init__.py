"""What a trial runs: tasks, methods, the training loop, and the gang that serves trials to Ray Tune.

The loop is plain PyTorch (`trainables.training.loop`); only `trainables.gang` knows Ray.
"""
