"""Llama of 229 million parameters on OpenWebText (Wang et al. 2024, Fig. 4, Appendix C.2.2)."""

from trainables.data.text.token_data import OPENWEBTEXT, TokenData
from trainables.tasks.families.llama import LlamaTask


class OpenWebTextLlama229M(LlamaTask):
    """16 layers, 12 heads, 768 dimensions; 1024 tokens a window, 480 windows a step."""

    name = "openwebtext-llama229m"
    batch_size = 480
    context = 1024
    layers = 16
    heads = 12
    dim = 768
    mlp = 3072

    @property
    def data(self) -> TokenData:
        return OPENWEBTEXT
