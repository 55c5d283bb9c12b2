"""What the Llama pre-training tasks share (Wang et al. 2024, Fig. 4, Appendix C.2.2): the model, in five numbers."""

from typing import ClassVar

from torch import nn

from trainables.models.llama import Llama
from trainables.tasks.families.language import LanguageTask


class LlamaTask(LanguageTask):
    """Language modelling with a Llama of `layers` blocks."""

    layers: int
    heads: int
    dim: int
    mlp: int
    head_dim: int | None = None
    """Dimensions of a head; None is `dim` over `heads`."""
    tied = False
    """Whether the embedding is the output layer, too."""
    tiny: ClassVar = {
        "batch_size": 8,
        "context": 64,
        "layers": 2,
        "heads": 4,
        "dim": 32,
        "mlp": 88,
        "head_dim": 8,
        "eval_windows": 64,
    }

    def network(self, vocabulary: int) -> nn.Module:
        return Llama(
            vocabulary=vocabulary,
            context=self.context,
            layers=self.layers,
            heads=self.heads,
            dim=self.dim,
            mlp=self.mlp,
            head_dim=self.head_dim,
            tied=self.tied,
        )
