"""A two-layer Transformer on the words of WikiText-2 (Wang et al. 2024, Fig. 3, Table 5, Appendix C.2.1).

The released notebook trains on targets out of order and adds positions along the batch; this is a causal language
model, whose losses are not comparable with the figure's.
"""

from typing import ClassVar

from torch import nn

from trainables.data.text.token_data import WIKITEXT2, TokenData
from trainables.models.causal_transformer import CausalTransformer
from trainables.tasks.families.language import LanguageTask


class WikiText2(LanguageTask):
    """4.7 million parameters, of which 4.3 are the embedding, shared with the output layer; 512 words a window."""

    name = "wikitext2"
    batch_size = 32
    context = 512
    dim = 128
    heads = 8
    tiny: ClassVar = {"batch_size": 8, "context": 64, "dim": 32, "heads": 4, "eval_windows": 64}

    @property
    def data(self) -> TokenData:
        return WIKITEXT2

    def network(self, vocabulary: int) -> nn.Module:
        return CausalTransformer(
            vocabulary=vocabulary,
            context=self.context,
            dim=self.dim,
            heads=self.heads,
            layers=2,
            norm_first=False,
            activation="relu",
            sines=True,
            tied=True,
        )
