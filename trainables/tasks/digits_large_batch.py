"""The digits in the large-batch setting of Novack et al. 2023: a batch is a quarter of the training set."""

from trainables.tasks.digits import Digits


class DigitsLargeBatch(Digits):
    """Batches of 256, which some methods split into micro-batches; four steps an epoch."""

    name = "digits-large-batch"
    batch_size = 256
