"""The recipes of docs/optimizer.md for other people's training loops, run as they stand there."""

import copy
import pathlib
import re

import pytest
import torch
from torch import nn

from ire import IRE

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "optimizer.md"


def recipe(title):
    """The Python block below that heading, executed; its names."""
    section = DOCUMENT.read_text().split(f"### {title}\n")[1]
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1), names)
    return names


def batches(count=12):
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 5, generator=g), torch.randint(0, 3, (4,), generator=g)) for _ in range(count)]


def test_the_plain_loop():
    model = nn.Linear(5, 3)
    names = recipe("A plain loop")
    optimizer = names["train"](model, batches(), steps_of_warm_up=2)
    assert optimizer.steps == 12 and optimizer.kappa_in_force == 4
    assert optimizer.flat_fraction == pytest.approx(0.6, abs=0.1)


def test_hugging_face_trainer(tmp_path):
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=30,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )

    def run(steps, resume=None):
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(config)
        optimizer = IRE(
            torch.optim.AdamW(model.parameters(), lr=1e-2), kappa=2, gamma=0.6, start=1, interval=3
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
        data = [{"input_ids": torch.arange(i, i + 6), "labels": torch.arange(i, i + 6)} for i in range(20)]
        trainer = recipe("Hugging Face `Trainer`")["IRETrainer"](
            model=model,
            args=transformers.TrainingArguments(
                output_dir=tmp_path / "out",
                max_steps=steps,
                per_device_train_batch_size=2,
                gradient_accumulation_steps=2,
                save_steps=5,
                report_to=[],
                use_cpu=True,
                disable_tqdm=True,
            ),
            train_dataset=data,
            optimizers=(optimizer, schedule),
        )
        trainer.train(resume_from_checkpoint=resume)
        return model, optimizer

    model, optimizer = run(8)
    assert optimizer.steps == 8 and optimizer.kappa_in_force == 2
    assert optimizer.flat_fraction == pytest.approx(0.6, abs=0.01)
    resumed, optimizer = run(8, str(tmp_path / "out" / "checkpoint-5"))
    assert optimizer.steps == 8
    for p, q in zip(model.parameters(), resumed.parameters(), strict=True):
        assert p.shape == q.shape and q.isfinite().all()


def test_lightning(tmp_path):
    lightning = pytest.importorskip("lightning")
    network = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
    model = recipe("Lightning")["Classifier"](network)
    trainer = lightning.Trainer(
        max_steps=8,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(model, torch.utils.data.DataLoader(batches(), batch_size=None))
    optimizer = model.optimizers().optimizer
    assert optimizer.steps == 8 and optimizer.kappa_in_force > 0
    assert optimizer.flat_fraction == pytest.approx(0.6, abs=0.1)
    assert network[1].num_batches_tracked == 8


def test_distributed_checkpoints(make_model, train, vector):
    def build():
        model = make_model()
        first, *rest = model.parameters()
        groups = [{"params": [first], "kappa": 0.5}, {"params": rest}]
        return model, IRE(torch.optim.AdamW(groups, lr=0.01), kappa=2, gamma=0.6, interval=3)

    names = recipe("`torch.distributed.checkpoint`")
    (model, optimizer), (resumed, fresh) = build(), build()
    train(model, optimizer, 0, 5)
    base_state, own_state = copy.deepcopy(names["state_of"](model, optimizer))
    resumed.load_state_dict(model.state_dict())
    names["load_state"](resumed, fresh, base_state, own_state)
    assert fresh.steps == 5 and fresh.param_groups[0]["kappa"] == 0.5
    assert train(resumed, fresh, 5, 12) == train(model, optimizer, 5, 12)
    assert torch.equal(vector(resumed), vector(model))
