"""The recipes of docs/optimizer.md for other people's training loops, run as they stand there."""

import pathlib
import re

import pytest
import torch
from torch import nn

from ire import IRE, sampled_nll

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
    saved = torch.load(tmp_path / "out" / "checkpoint-5" / "optimizer.pt", weights_only=True)
    assert saved["ire"]["steps"] == 5 and len(saved["ire"]["masks"]) == len(list(model.parameters()))
    resumed, again = run(8, str(tmp_path / "out" / "checkpoint-5"))
    assert again.steps == 8
    for p, q in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(p, q)
        assert torch.equal(optimizer._memory.masks[p], again._memory.masks[q])


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


@pytest.mark.parametrize("settings", [{}, {"ema": 0.5}, {"start": 7}])
def test_distributed_checkpoints(settings, make_model, train, vector, tmp_path):
    """Also before the first mask, in a process without a process group."""

    def build():
        model = make_model()
        first, *rest = model.parameters()
        groups = [{"params": [first], "kappa": 0.5}, {"params": rest}]
        base = torch.optim.AdamW(groups, lr=0.01)
        return model, IRE(base, **{"kappa": 2, "gamma": 0.6, "interval": 3} | settings)

    names = recipe("`torch.distributed.checkpoint`")
    (model, optimizer), (resumed, fresh) = build(), build()
    train(model, optimizer, 0, 5)
    names["save"](model, optimizer, tmp_path)
    losses = train(model, optimizer, 5, 12)
    names["load"](resumed, fresh, tmp_path)
    assert fresh.steps == 5 and fresh.param_groups[0]["kappa"] == 0.5
    assert train(resumed, fresh, 5, 12) == losses
    assert torch.equal(vector(resumed), vector(model))


def test_distributed_checkpoints_of_several_optimizers(make_model, train, vector, tmp_path):
    def build():
        model = make_model()
        matrices, others = ([p for p in model.parameters() if (p.dim() == 2) == it] for it in (True, False))
        bases = [torch.optim.Muon(matrices, lr=0.01), torch.optim.AdamW(others, lr=0.01)]
        return model, IRE(bases, kappa=2, gamma=0.6, interval=3)

    names = recipe("`torch.distributed.checkpoint`")
    (model, optimizer), (resumed, fresh) = build(), build()
    train(model, optimizer, 0, 5)
    names["save"](model, optimizer, tmp_path)
    losses = train(model, optimizer, 5, 10)
    names["load"](resumed, fresh, tmp_path)
    assert train(resumed, fresh, 5, 10) == losses and torch.equal(vector(resumed), vector(model))


def test_the_state_of_another_model_is_refused(make_model):
    model = make_model()
    optimizer = IRE(torch.optim.AdamW(model.parameters()), kappa=2, gamma=0.6)
    with pytest.raises(ValueError, match="lacks parameters of the optimizer, of shapes"):
        optimizer.distributed_state(make_model())


def test_accelerate_resumes_with_the_mask(tmp_path):
    accelerate = pytest.importorskip("accelerate")

    def build():
        torch.manual_seed(0)
        model = nn.Linear(5, 3)
        optimizer = IRE(torch.optim.AdamW(model.parameters(), lr=0.01), kappa=2, gamma=0.6, interval=4)
        accelerator = accelerate.Accelerator(cpu=True)
        return accelerator, *accelerator.prepare(model, optimizer), optimizer

    def train(accelerator, model, prepared, optimizer, some):
        for inputs, labels in some:
            if optimizer.curvature_due:
                accelerator.backward(sampled_nll(model(inputs), generator=torch.Generator().manual_seed(1)))
                optimizer.update_mask()
            accelerator.backward(nn.functional.cross_entropy(model(inputs), labels))
            prepared.step()
            prepared.zero_grad()
        return model

    first, second = build(), build()
    train(*first, batches()[:6])
    first[0].save_state(tmp_path)
    ends = [train(*first, batches()[6:])]
    second[0].load_state(tmp_path)
    assert second[3].steps == 6 and second[3].flat_fraction == pytest.approx(0.6, abs=0.1)
    ends.append(train(*second, batches()[6:]))
    assert all(map(torch.equal, *(model.parameters() for model in ends)))


def test_adapters_of_peft_resume_with_the_mask(tmp_path):
    peft = pytest.importorskip("peft")

    def build():
        torch.manual_seed(0)
        body = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
        model = peft.get_peft_model(body, peft.LoraConfig(r=2, target_modules=["0", "2"]))
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        optimizer = IRE(
            torch.optim.AdamW(trained, lr=0.01),
            kappa=2,
            gamma=0.6,
            interval=4,
            start=1,
            pack_masks=True,
            by_name={"*lora_A*": {"gamma": 0.5}},
        )
        return model, optimizer

    def train(model, optimizer, some):
        for inputs, labels in some:
            if optimizer.curvature_due:
                sampled_nll(model(inputs), generator=torch.Generator().manual_seed(1)).backward()
                optimizer.update_mask()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
        return [p.detach().clone() for p in optimizer.parameters()]

    (model, optimizer), (resumed, fresh) = build(), build()
    train(model, optimizer, batches()[:6])
    model.save_pretrained(tmp_path)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    end = train(model, optimizer, batches()[6:])
    peft.set_peft_model_state_dict(resumed, peft.load_peft_weights(str(tmp_path), device="cpu"))
    fresh.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    assert all(map(torch.equal, end, train(resumed, fresh, batches()[6:])))
