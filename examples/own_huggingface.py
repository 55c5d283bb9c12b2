"""A Hugging Face `Trainer` script that a sweep can compare: a small Llama trained by AdamW and by Muon.

ire sweep own_huggingface.py:train      # the arms and their ranges stand in own_huggingface.toml
ire train own_huggingface.py:train muon
"""

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, Trainer

from ire import Trial
from trainables.huggingface import TrialCallback, test_metrics, training_arguments

CONFIG = LlamaConfig(
    vocab_size=32,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
)


def sequences(count: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """Arithmetic sequences modulo 32: the model has to find the step between two numbers."""
    draw = torch.Generator().manual_seed(seed)
    starts, steps = torch.randint(32, (2, count), generator=draw)
    rows = [(start + step * torch.arange(12)) % 32 for start, step in zip(starts, steps, strict=True)]
    return [{"input_ids": row, "labels": row} for row in rows]


def train(trial: Trial) -> None:
    torch.manual_seed(trial.seed)
    model = LlamaForCausalLM(CONFIG)
    callback = TrialCallback(trial, checkpoint=True)
    trainer = Trainer(
        model=model,
        args=training_arguments(trial, per_device_train_batch_size=16, per_device_eval_batch_size=256),
        train_dataset=sequences(2048, seed=1_000 + trial.study),
        eval_dataset=sequences(256, seed=2_000 + trial.study),
        optimizers=(trial.build_optimizer(model), None),  # the arm's method, with its schedule
        callbacks=[callback],
    )
    trainer.remove_callback(PrinterCallback)  # the sweep shows the progress
    trial.test_metrics(lambda: test_metrics(trainer, sequences(256, seed=3_000)))
    trainer.train(resume_from_checkpoint=callback.resume_from)
