"""What the Llama pre-training tasks share (Wang et al. 2024, Fig. 4, Appendix C.2.2): the model, in five numbers."""

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.data.text.token_data import CORPORA, TokenData
from trainables.models.linear_cross_entropy import (
    IGNORED,
    drawn_by_blocks,
    linear_cross_entropy,
    linear_metric_sums,
    needs_chunks,
)
from trainables.models.llama import Llama
from trainables.task import Batch, Task
from trainables.tasks.families.language import LanguageTask


class LlamaTask(LanguageTask):
    """Language modelling with a Llama of `layers` blocks.

    If the logits of a batch are more than one chunk, training and evaluation never make them all at once
    (`trainables.models.linear_cross_entropy`); the loss equals the plain one up to rounding. A compiled model makes
    them in autocast's type only, which needs less memory than the chunks of an unrolled loop: 13.1 GB for Llama-60M
    instead of 16.8 GB.
    """

    corpus: str
    """The name of its data: see `trainables.data.text.token_data`."""
    layers: int
    heads: int
    dim: int
    mlp: int
    head_dim: int | None = None
    """Dimensions of a head; None means `dim` / `heads`."""
    tied = False
    """Whether the embedding is also the output layer."""
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
        return CORPORA[self.corpus]

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

    def training_loss(self, model: nn.Module, batch: Batch) -> Tensor:
        if not self._in_chunks(model, batch):
            return super().training_loss(model, batch)
        return linear_cross_entropy(*_output_layer(model, batch), batch[1].flatten())

    def uniforms(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        generator: torch.Generator,
        rank: int = 0,
        world_size: int = 1,
    ) -> Tensor | None:
        if not self._has_many_logits(model, batch):
            return None
        rows, length = batch[1].shape
        uniforms = torch.rand(world_size * rows, length, generator=generator, device=generator.device)
        return uniforms[rank * rows : (rank + 1) * rows].to(batch[1].device).flatten()

    def sampled_training_loss(self, model: nn.Module, batch: Batch, uniforms: Tensor) -> Tensor:
        targets = batch[1].flatten()
        if self._in_chunks(model, batch):
            return linear_cross_entropy(*_output_layer(model, batch), targets, uniforms=uniforms)
        logits = self.outputs(model, batch).flatten(0, 1)
        labels = drawn_by_blocks(logits.detach(), uniforms)
        return F.cross_entropy(logits, torch.where(targets == IGNORED, IGNORED, labels))

    def evaluation_sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        if not self._in_chunks(model, batch):
            return super().evaluation_sums(model, batch)
        return linear_metric_sums(*_output_layer(model, batch), batch[1].flatten())

    def _in_chunks(self, model: nn.Module, batch: Batch) -> bool:
        """Whether logits are made in chunks; not needed where a compiler keeps single-precision logits in registers."""
        return self._has_many_logits(model, batch) and not torch.compiler.is_compiling()

    def _has_many_logits(self, model: nn.Module, batch: Batch) -> bool:
        """Whether the logits are too many at once; False for a subclass with its own outputs or loss."""
        own = (type(self).outputs, type(self).loss, type(self).sampled_loss, type(self).metric_sums)
        is_plain = own == (Task.outputs, Task.loss, Task.sampled_loss, Task.metric_sums)
        return (
            is_plain and isinstance(model, Llama) and needs_chunks(batch[1].numel(), len(model.output_weight))
        )


def _output_layer(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Input (n, dim) and weight (vocabulary, dim) of a Llama's output layer on a batch."""
    llama = cast(Llama, model)
    return llama.hidden(batch[0]).flatten(0, 1), llama.output_weight
