"""A small decoder-only Transformer, built from torch's own layers; no position sees a later one."""

import math

import torch
from torch import Tensor, nn


class CausalTransformer(nn.Module):
    """Tokens (batch, length) to logits (batch, length, vocabulary) of each next token, from the tokens before it.

    `norm_first` puts layer norms before attention and MLP (and one at the end), otherwise after them. Positions are
    learned vectors or sines (Vaswani et al. 2017); `tied` shares the embedding with the output layer, and then
    embeddings are scaled by √dim.
    """

    sines: Tensor

    def __init__(
        self,
        *,
        vocabulary: int,
        context: int,
        dim: int = 64,
        heads: int = 4,
        layers: int = 2,
        norm_first: bool = True,
        activation: str = "gelu",
        sines: bool = False,
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, dim)
        self.scale = math.sqrt(dim) if tied else 1.0
        if sines:
            self.positions = None
            self.register_buffer("sines", sine_positions(context, dim), persistent=False)
        else:
            self.positions = nn.Embedding(context, dim)
        self.blocks = nn.ModuleList(  # not nn.TransformerEncoder: its layers are copies, initialised alike
            nn.TransformerEncoderLayer(
                dim,
                heads,
                4 * dim,
                dropout=0.0,
                activation=activation,
                batch_first=True,
                norm_first=norm_first,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim) if norm_first else nn.Identity()
        self.head = nn.Linear(dim, vocabulary, bias=False)
        for table in (self.tokens, self.positions):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02)
        if tied:
            self.head.weight = self.tokens.weight

    def forward(self, text: Tensor) -> Tensor:
        length = text.shape[1]
        places = torch.arange(length, device=text.device)
        positions = self.sines[:length] if self.positions is None else self.positions(places)
        hidden = self.tokens(text) * self.scale + positions
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=text.device)
        for block in self.blocks:
            hidden = block(hidden, src_mask=mask, is_causal=True)
        return self.head(self.norm(hidden))


def sine_positions(context: int, dim: int) -> Tensor:
    """(context, dim): sines and cosines of position / 10000^(2i/dim), one after the other."""
    angles = torch.arange(context)[:, None] * torch.exp(torch.arange(0, dim, 2) * (-math.log(1e4) / dim))
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
