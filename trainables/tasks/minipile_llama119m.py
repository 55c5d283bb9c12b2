"""Llama of 119 million parameters on MiniPile (Wang et al. 2024, Fig. 4, Appendix C.2.2)."""

from trainables.data.text.token_data import MINIPILE, TokenData
from trainables.tasks.families.llama import LlamaTask


class MiniPileLlama119M(LlamaTask):
    """6 layers, 12 heads, 768 dimensions; 512 tokens a window, 300 windows a step."""

    name = "minipile-llama119m"
    batch_size = 300
    context = 512
    layers = 6
    heads = 12
    dim = 768
    mlp = 2048

    @property
    def data(self) -> TokenData:
        return MINIPILE
