"""Llama of 60 million parameters on WikiText-103 (Wang et al. 2024, Fig. 4, Appendix C.2.2).

The paper's 10 heads of 410 dimensions would be 41 each, an odd number that rotary positions cannot turn: they have 40.
The paper gives no size for the MLP; 1472, with a shared embedding, makes the 60 million of its title (the released
model counts 72 million).
"""

from trainables.data.text.token_data import WIKITEXT103, TokenData
from trainables.tasks.families.llama import LlamaTask


class WikiText103Llama60M(LlamaTask):
    """16 layers, 10 heads, 410 dimensions; 150 tokens a window, 240 windows a step."""

    name = "wikitext103-llama60m"
    batch_size = 240
    context = 150
    layers = 16
    heads = 10
    dim = 410
    mlp = 1472
    head_dim = 40
    tied = True

    @property
    def data(self) -> TokenData:
        return WIKITEXT103
