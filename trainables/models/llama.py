"""Llama (Touvron et al. 2023) from `transformers`, with its attention on torch's fused kernel."""

from typing import Any

from torch import Tensor, nn

VOCABULARY_MULTIPLE = 64
"""Embedding rows are padded to a multiple of it, for faster matrix products; the extra rows are never targets."""


class Llama(nn.Module):
    """Tokens (batch, length) to logits (batch, length, vocabulary), strictly causal."""

    def __init__(
        self,
        *,
        vocabulary: int,
        context: int,
        layers: int,
        heads: int,
        dim: int,
        mlp: int,
        head_dim: int | None = None,
        tied: bool = False,
    ) -> None:
        super().__init__()
        from transformers import LlamaConfig, LlamaForCausalLM  # seconds to import: only where it is used

        config = LlamaConfig(
            vocab_size=-(-vocabulary // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE,
            hidden_size=dim,
            intermediate_size=mlp,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=head_dim or dim // heads,
            max_position_embeddings=context,
            tie_word_embeddings=tied,
            attn_implementation="sdpa",  # pyright: ignore[reportCallIssue] # taken by the base class of all configurations
            use_cache=False,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.llama = LlamaForCausalLM(config)

    def forward(self, text: Tensor) -> Tensor:
        return logits(self.llama, text)

    def hidden(self, text: Tensor) -> Tensor:
        """The input of the output layer, (batch, length, dim)."""
        return self.llama.model(input_ids=text, use_cache=False).last_hidden_state

    @property
    def output_weight(self) -> Tensor:
        """The output layer's weight (vocabulary, dim); it has no bias."""
        return self.llama.lm_head.weight


def logits(model: Any, text: Tensor) -> Tensor:
    """The logits of a `transformers` causal language model on whole windows: no padding, no cache."""
    return model(input_ids=text, use_cache=False).logits
