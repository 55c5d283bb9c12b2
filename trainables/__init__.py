"""What a trial runs: tasks, methods, the training loop, and the gang that serves trials to Ray Tune.

The loop is plain PyTorch (`trainables.loop`); only `trainables.gang` and `trainables.mailbox` know Ray.
"""
