"""Llama of 229 million parameters on OpenWebText (Wang et al. 2024, Fig. 4, Appendix C.2.2)."""

from typing import ClassVar

from torch import nn

from trainables.data.token_data import OPENWEBTEXT, TokenData
from trainables.language_task import LanguageTask
from trainables.models.llama import Llama


class OpenWebTextLlama229M(LanguageTask):
    """16 layers, 12 heads, 768 dimensions; 1024 tokens a window, 480 windows a step."""

    name = "openwebtext-llama229m"
    batch_size = 480
    context = 1024
    layers = 16
    heads = 12
    dim = 768
    mlp = 3072
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
        return OPENWEBTEXT

    def network(self, vocabulary: int) -> nn.Module:
        return Llama(
            vocabulary=vocabulary,
            context=self.context,
            layers=self.layers,
            heads=self.heads,
            dim=self.dim,
            mlp=self.mlp,
        )
