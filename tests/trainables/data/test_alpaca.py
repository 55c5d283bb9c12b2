"""Instructions: only answers are learnt, whatever is frozen stays out of checkpoints, batches split evenly."""

import dataclasses
import json

import pytest
import torch
from small_data import write_instructions
from tokenizers.processors import TemplateProcessing

from ire.invalid_input import InvalidInput
from trainables.data.store import open_store
from trainables.data.text.encoders import BytePairs, byte_pairs, decoded
from trainables.data.text.text_source import Piece
from trainables.models.llama import Llama
from trainables.task import load_task
from trainables.task_data.prepare import prepare
from trainables.tasks.alpaca_lora import IGNORED
from trainables.training.training import Training


def test_only_the_answer_is_a_target(small_data):
    task = load_task("alpaca-lora@tiny")
    task.context = 400
    tokenizer = byte_pairs(str(small_data / "alpaca" / "tokenizer.json"), [])._tokenizer
    for inputs, targets in task.eval_batches("validation"):
        for row in range(len(inputs)):
            answer = targets[row] != IGNORED
            text = tokenizer.decode(targets[row][answer].tolist(), skip_special_tokens=False)
            assert text.startswith("It is ") and text.endswith(".<|endoftext|>")
            first = int(answer.nonzero()[0])
            assert tokenizer.decode(inputs[row, : first + 1].tolist()).endswith("### Response:")
            assert torch.equal(inputs[row, first + 1 : first + answer.sum()], targets[row][answer][:-1])


def test_parts_of_a_batch_weigh_as_the_whole(small_data):
    task = load_task("alpaca-lora@tiny")
    batch = next(task.train_batches(seed=0, start=0))
    outputs = torch.randn(*batch[1].shape, 320)
    halves = [
        task.loss(outputs[rows], tuple(part[rows] for part in batch)) for rows in (slice(0, 4), slice(4, 8))
    ]
    assert task.loss(outputs, batch).item() == pytest.approx(torch.stack(halves).mean().item(), rel=1e-6)


def test_the_base_is_frozen_and_not_in_the_checkpoint(small_data, make_spec):
    spec = dataclasses.replace(make_spec("adamw-ire"), task="alpaca-lora@tiny")
    training = Training(load_task(spec.task), spec, device=torch.device("cpu"))
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    for _ in range(4):
        training.advance()
    training.report()
    saved = set(training.state_dict()["model"])
    for name, p in training.model.named_parameters():
        assert ("lora" in name) == p.requires_grad == (name in saved)
        assert torch.equal(p, before[name]) == (not p.requires_grad)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_adapters_of_a_base_in_half_precision_are_trained_in_float32(
    precision, small_data, tmp_path, make_spec
):
    torch.manual_seed(0)
    sizes = {"vocabulary": 320, "context": 96, "layers": 2, "heads": 4, "dim": 64, "mlp": 176}
    Llama(**sizes).llama.half().save_pretrained(tmp_path)
    spec = dataclasses.replace(make_spec("adamw-ire"), task="alpaca-lora@tiny", precision=precision)
    task = load_task(spec.task)
    task.base = str(tmp_path)
    training = Training(task, spec, device=torch.device("cpu"))
    for _ in range(12):
        training.advance()
    assert not training.report()["diverged"]
    moments = [state["exp_avg_sq"] for state in training.optimizer.base.state.values()]
    zeros = sum(int((moment == 0).sum()) for moment in moments) / sum(moment.numel() for moment in moments)
    assert {moment.dtype for moment in moments} == {torch.float32}
    assert zeros < 0.01
    for name, p in training.model.named_parameters():
        assert p.dtype == (torch.float32 if "lora" in name else torch.bfloat16)


def test_an_example_begins_with_the_token_that_the_tokenizer_puts_before_a_text(tmp_path):
    tokenizer = BytePairs.learnt([Piece("It is 7. " * 50, ends=True)], 300)._tokenizer
    tokenizer.add_special_tokens(["<s>"])
    begin = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    write_instructions(tmp_path / "rows.json")
    arguments = {"source": tmp_path / "rows.json", "tokenizer": str(tmp_path / "tokenizer.json")}
    prepare("alpaca-lora", into=tmp_path, say=lambda _: None, **arguments)
    store = open_store(tmp_path / "alpaca", remedy="")
    tokens, ends, answers = (store.array(f"train-{part}") for part in ("tokens", "ends", "answers"))
    assert tokens[0] == begin and all(tokens[end] == begin for end in ends[:-1])
    assert (tokens == begin).sum() == len(ends)
    assert tokenizer.decode(tokens[: answers[0]].tolist()).endswith("### Response:")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "no"}, "has no instruction"),
        ({"instruction": None, "output": "b"}, "has no instruction"),
        ({"instruction": "a", "output": None}, "has no output"),
        ({"instruction": "a", "output": 5}, "'output' is int, must be text"),
        ({"instruction": "a", "input": ["x"], "output": "b"}, "'input' is list, must be text"),
        ({"instruction": "a", "output": "\ud800"}, "half of a character"),
        (["a", "b"], "has no instruction"),
    ],
)
def test_what_are_no_instructions_is_refused_by_its_number(row, message, tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "a", "output": "b"}, row]))
    with pytest.raises(InvalidInput, match=rf"rows\.json, example 2: .*{message}"):
        prepare("alpaca-lora", into=tmp_path, source=tmp_path / "rows.json", tokenizer="bpe:300", say=print)


def test_an_answer_may_contain_what_ends_a_line_elsewhere(tmp_path):
    row = json.dumps({"instruction": "a\u2028b", "input": None, "output": "c\x85d"}, ensure_ascii=False)
    (tmp_path / "rows.JSONL").write_text(f"{row}\n" * 300)
    prepare("alpaca-lora", into=tmp_path, source=tmp_path / "rows.JSONL", tokenizer="bpe:300", say=print)
    store = open_store(tmp_path / "alpaca", remedy="")
    text = decoded(store.array("train-tokens").tolist(), store.folder)
    assert text.count("a\u2028b\n\n### Response:c\x85d") == len(store.array("train-ends"))


def test_fewer_instructions_than_splits_are_refused(tmp_path):
    write_instructions(tmp_path / "few.json", count=3)
    with pytest.raises(InvalidInput, match="too few"):
        prepare("alpaca-lora", into=tmp_path, source=tmp_path / "few.json", tokenizer="bpe:300", say=print)
