"""Llama-2 with LoRA on Stanford Alpaca (Wang et al. 2024, in the public discussion of the paper; no settings given).

The packages of the extra `lora` are imported when used.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ire.invalid_input import InvalidInput
from ire.trial.seeds import generator
from trainables.data.prefetch import ahead
from trainables.data.store import Store
from trainables.data.text.instructions import Instructions
from trainables.data.untyped import from_numpy
from trainables.models.llama import Llama, logits
from trainables.task import Batch, Task

IGNORED = -100
AHEAD = 4


class AlpacaLora(Task):
    """Next-token prediction on the answers only; the loss is the mean over examples of each answer's mean, in nats.

    The base model is frozen; rank-8 matrices beside the queries and values of every layer are trained in float32.
    """

    name = "alpaca-lora"
    batch_size = 128
    context = 512
    base: str | None = "meta-llama/Llama-2-7b-hf"
    """A name on Hugging Face, or a folder; None is a small Llama with random weights."""
    rank = 8
    eval_batch = 16
    tiny: ClassVar = {"batch_size": 8, "context": 96, "base": None, "eval_batch": 8}

    @property
    def data(self) -> Instructions:
        return Instructions()

    @cached_property
    def store(self) -> Store:
        return self.data.open(task=self.name)

    def model(self) -> nn.Module:
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError:
            raise InvalidInput(f"{self.name} needs peft: pip install 'ire[lora]'") from None
        model = self._base()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        config = LoraConfig(r=self.rank, lora_alpha=2 * self.rank, target_modules=["q_proj", "v_proj"])
        model = inject_adapter_in_model(config, model)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()  # peft gives them the type of the base model
        return model

    def _base(self) -> nn.Module:
        vocabulary = self.store.facts["vocabulary"]
        if self.base is None:
            return Llama(vocabulary=vocabulary, context=self.context, layers=2, heads=4, dim=64, mlp=176)
        return Pretrained(self.base, vocabulary)

    def train_batches(self, *, seed: int, start: int) -> Iterator[Batch]:
        return ahead(self._batches(seed, start), AHEAD)

    def _batches(self, seed: int, start: int) -> Iterator[Batch]:
        count = len(self.store.array("train-ends"))
        steps = count // self.batch_size
        if steps == 0:
            raise InvalidInput(f"{count} examples do not fill one batch of {self.batch_size}")
        epoch, position = divmod(start, steps)
        while True:
            order = torch.randperm(count, generator=generator(seed, "order", epoch))
            for step in range(position, steps):
                yield self._examples("train", order[step * self.batch_size : (step + 1) * self.batch_size])
            epoch, position = epoch + 1, 0

    def eval_batches(self, split: str) -> Iterable[Batch]:
        for picked in torch.split(torch.arange(len(self.store.array(f"{split}-ends"))), self.eval_batch):
            yield self._examples(split, picked)

    def _examples(self, split: str, picked: Tensor) -> Batch:
        """Inputs and targets (b, context), cut or padded on the right; targets of prompts and padding are ignored."""
        tokens, ends, answers = (
            self.store.array(f"{split}-{part}") for part in ("tokens", "ends", "answers")
        )
        inputs = np.zeros((len(picked), self.context), np.int64)
        targets = np.full((len(picked), self.context), IGNORED, np.int64)
        for row, n in enumerate(picked.numpy()):
            text = tokens[ends[n - 1] if n else 0 : ends[n]][: self.context + 1]
            inputs[row, : len(text) - 1] = text[:-1]
            targets[row, answers[n] - 1 : len(text) - 1] = text[answers[n] :]
        return from_numpy(inputs), from_numpy(targets)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        targets = batch[1]
        losses = F.cross_entropy(
            outputs.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="none"
        )
        counted = (targets != IGNORED).sum(1).clamp(min=1)
        return (losses.view_as(targets).sum(1) / counted).mean()

    def metric_sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        answer = batch[1] != IGNORED
        chosen = outputs[answer]
        sums: dict[str, Any] = super().metric_sums(chosen, (batch[0], batch[1][answer]))
        return sums


class Pretrained(nn.Module):
    """A causal language model of `transformers`, from Hugging Face's cache, its hub, or a folder; logits in float32.

    Its weights keep the type of the checkpoint. Only float16 becomes bfloat16, in which Llama-2 was trained: gradients
    in float16 would underflow without a scaled loss.
    """

    def __init__(self, name: str, vocabulary: int) -> None:
        super().__init__()
        from transformers import AutoModelForCausalLM

        try:
            self.llama: Any = cast(Any, AutoModelForCausalLM).from_pretrained(
                name, attn_implementation="sdpa"
            )
        except OSError as error:
            first = (str(error).splitlines() or [""])[0]
            raise InvalidInput(
                f"cannot load the model {name!r} ({first}); accept its licence and fetch it once"
            ) from error
        if self.llama.dtype == torch.float16:
            self.llama.to(torch.bfloat16)
        if self.llama.config.vocab_size < vocabulary:
            raise InvalidInput(
                f"{name}: has {self.llama.config.vocab_size} tokens, but the data has {vocabulary}"
            )

    def forward(self, text: Tensor) -> Tensor:
        return logits(self.llama, text).float()
