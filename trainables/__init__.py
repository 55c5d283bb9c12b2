"""What a trial runs: tasks with their models and data, the training loop, and the gang that serves trials to Ray Tune.

The loop is plain PyTorch (`trainables.training.loop`); only `trainables.gang` imports Ray. What a method is made of is
in `ire.methods`.
"""
