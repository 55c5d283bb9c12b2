"""Llama of 119 million parameters on MiniPile (Wang et al. 2024, Fig. 4, Appendix C.2.2)."""

from typing import ClassVar

from torch import nn

from trainables.data.token_data import MINIPILE, TokenData
from trainables.language_task import LanguageTask
from trainables.models.llama import Llama


class MiniPileLlama119M(LanguageTask):
    """6 layers, 12 heads, 768 dimensions; 512 tokens a window, 300 windows a step."""

    name = "minipile-llama119m"
    batch_size = 300
    context = 512
    layers = 6
    heads = 12
    dim = 768
    mlp = 2048
    tiny: ClassVar = {
        "batch_size": 8,
        "context": 64,
        "layers": 2,
        "heads": 4,
        "dim": 32,
        "mlp": 88,
        "eval_windows": 64,
    }

    @property
    def data(self) -> TokenData:
        return MINIPILE

    def network(self, vocabulary: int) -> nn.Module:
        return Llama(
            vocabulary=vocabulary,
            context=self.context,
            layers=self.layers,
            heads=self.heads,
            dim=self.dim,
            mlp=self.mlp,
        )
