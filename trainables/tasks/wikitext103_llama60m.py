"""Llama of 60 million parameters on WikiText-103 (Wang et al. 2024, Fig. 4, Appendix C.2.2).

The paper's 10 heads of 410 dimensions would be 41 each, an odd number that rotary positions cannot turn: they have 40.
The paper gives no size for the MLP; 1472, with a shared embedding, makes the 60 million of its title (the released
model counts 72 million).
"""

from typing import ClassVar

from torch import nn

from trainables.data.token_data import WIKITEXT103, TokenData
from trainables.language_task import LanguageTask
from trainables.models.llama import Llama


class WikiText103Llama60M(LanguageTask):
    """16 layers, 10 heads, 410 dimensions; 150 tokens a window, 240 windows a step."""

    name = "wikitext103-llama60m"
    batch_size = 240
    context = 150
    layers = 16
    heads = 10
    dim = 410
    mlp = 1472
    head_dim = 40
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

    @property
    def data(self) -> TokenData:
        return WIKITEXT103

    def network(self, vocabulary: int) -> nn.Module:
        return Llama(
            vocabulary=vocabulary,
            context=self.context,
            layers=self.layers,
            heads=self.heads,
            dim=self.dim,
            mlp=self.mlp,
            head_dim=self.head_dim,
            tied=True,
        )
