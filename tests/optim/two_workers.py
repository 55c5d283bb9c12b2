"""Run by test_two_workers.py as two processes: each check compares what the workers have with each other,
and with a single worker that has the whole batch. Prints one line of JSON: check -> null or traceback.
"""

import copy
import json
import pathlib
import sys
import traceback
from contextlib import nullcontext
from types import SimpleNamespace
from unittest import mock

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from test_trainers import recipe
from torch import nn
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import PostLocalSGDOptimizer, ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from ire import IRE, SAM, sampled_nll
from ire.optim.curvature.gradients import gradients_of
from ire.optim.mask.flattest import flattest
from ire.optim.tensors.shards import whole, workers_of

ROWS = 6


class Words(nn.Module):
    """Most rows of the embedding get no gradient: ties at zero."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(41, 9, dtype=dtype)
        self.hidden = nn.Linear(9, 7, dtype=dtype)
        self.head = nn.Linear(7, 5, dtype=dtype)

    def forward(self, tokens):
        return self.head(torch.tanh(self.hidden(self.embedding(tokens))))


def batch(step, rank=None):
    """Tokens and labels of the whole batch of 2 · ROWS, or of one worker."""
    g = torch.Generator().manual_seed(50 + step)
    tokens, labels = (torch.randint(0, n, (2 * ROWS,), generator=g) for n in (41, 5))
    part = slice(None) if rank is None else slice(rank * ROWS, (rank + 1) * ROWS)
    return tokens[part], labels[part]


def wrap(model, curvature="sampled", base=None, **settings):
    base = base or torch.optim.AdamW(model.parameters(), lr=0.01)
    return IRE(
        base, **{"kappa": 2, "gamma": 0.6, "interval": 3, "start": 1, "curvature": curvature} | settings
    )


def train(model, optimizer, steps, rank=None, world=1, cast=False):
    for step in range(steps):
        tokens, labels = batch(step, rank)
        due, reuse = optimizer.curvature_due, optimizer.settings.curvature == "reuse"
        where = {"rank": rank or 0, "world_size": world}
        noise = torch.Generator().manual_seed(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            if due and not reuse:
                sampled_nll(model(tokens), generator=noise, **where).backward()
                optimizer.update_mask()
            logits = model(tokens)
            if due and reuse:
                optimizer.update_mask(sampled_nll(logits, generator=noise, **where))
            nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()


def same_everywhere(tensors):
    for tensor in tensors:
        gathered = [torch.empty_like(tensor) for _ in range(2)]
        dist.all_gather(gathered, tensor.contiguous())
        assert torch.equal(*gathered)


def agrees(model, optimizer, single, single_optimizer, tolerance=1e-6):
    """The workers have the same parameters and masks, those of a single worker up to rounding."""
    same_everywhere([p.detach() for p in model.parameters()])
    masks = [optimizer._memory.masks[p] for p in model.parameters()]
    same_everywhere(masks)
    count = sum(m.numel() for m in masks)
    ones = sum(int(m.sum()) for m in masks)
    inverted = optimizer.settings.curvature == "sharpest"
    assert (count - ones if inverted else ones) == int(0.6 * count)
    for p, q in zip(model.parameters(), single.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=tolerance)


def data_parallel(curvature, **settings):
    def check(rank):
        model, single = Words(torch.float64), Words(torch.float64)
        spread = DistributedDataParallel(model)
        optimizer, alone = wrap(model, curvature, **settings), wrap(single, curvature, **settings)
        train(spread, optimizer, 8, rank, 2)
        train(single, alone, 8)
        agrees(model, optimizer, single, alone)

    return check


def views_of_buckets(rank):
    """DDP attaches the same tensors again after they were set to None, whether or not anybody asked in between."""
    ends = []
    for view in (False, True):
        for asks in (False, True):
            model = Words(torch.float64)
            spread = DistributedDataParallel(model, gradient_as_bucket_view=view)
            optimizer = wrap(model, interval=2, start=0)
            for step in range(6):
                tokens, labels = batch(step, rank)
                if optimizer.curvature_due if asks else step % 2 == 0:
                    noise = torch.Generator().manual_seed(step)
                    sampled_nll(spread(tokens), generator=noise, rank=rank, world_size=2).backward()
                    optimizer.update_mask()
                nn.functional.cross_entropy(spread(tokens), labels).backward()
                optimizer.step()
                spread.zero_grad()
            ends.append([p.detach() for p in model.parameters()])
    for end in ends[1:]:
        assert all(map(torch.equal, ends[0], end))


def a_second_optimizer(rank):
    """The other one's gradients are those of training alone, on views of buckets, too."""
    for view in (False, True):
        model, single = Words(torch.float64), Words(torch.float64)
        spread = DistributedDataParallel(model, gradient_as_bucket_view=view)
        optimizer = IRE(torch.optim.SGD(model.hidden.parameters(), lr=0.1), kappa=1, gamma=0.5)
        tokens, labels = batch(0, rank)
        sampled_nll(spread(tokens)).backward()
        optimizer.update_mask()
        nn.functional.cross_entropy(spread(tokens), labels).backward()
        nn.functional.cross_entropy(single(batch(0)[0]), batch(0)[1]).backward()
        for p, q in zip(model.parameters(), single.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad)


def reuse_keeps_the_training_gradient(rank):
    models = [DistributedDataParallel(Words()) for _ in range(2)]
    optimizer = wrap(models[0], "reuse", start=0)
    tokens, labels = batch(0, rank)
    for model in models:
        logits = model(tokens)
        if model is models[0]:
            optimizer.update_mask(sampled_nll(logits))
        nn.functional.cross_entropy(logits, labels).backward()
    for p, q in zip(*(m.parameters() for m in models), strict=True):
        assert torch.equal(p.grad, q.grad)
    same_everywhere([p.grad for p in models[0].parameters()])


def reuse_with_a_gradient_that_two_share(rank):
    """Autograd gives two parameters that are added one and the same tensor, and a sum an expanded one."""
    a, b, c = (nn.Parameter(torch.ones(4)) for _ in range(3))
    gradients = gradients_of(((a + b) * (1.0 + rank)).square().sum() + c.sum(), [a, b, c])
    for p, expected in ((a, 10.0), (b, 10.0), (c, 1.0)):
        torch.testing.assert_close(gradients[p], torch.full((4,), expected))


def accumulation(rank):
    model, single = Words(torch.float64), Words(torch.float64)
    spread, optimizer, alone = DistributedDataParallel(model), wrap(model), wrap(single)
    for step in range(6):
        tokens, labels = batch(step, rank)
        everything = batch(step)
        if optimizer.curvature_due:
            noise = [torch.Generator().manual_seed(step) for _ in range(2)]
            sampled_nll(spread(tokens), generator=noise[0], rank=rank, world_size=2).backward()
            sampled_nll(single(everything[0]), generator=noise[1]).backward()
            optimizer.update_mask(), alone.update_mask()
        half = ROWS // 2
        with spread.no_sync():
            (nn.functional.cross_entropy(spread(tokens[:half]), labels[:half]) / 2).backward()
        (nn.functional.cross_entropy(spread(tokens[half:]), labels[half:]) / 2).backward()
        nn.functional.cross_entropy(single(everything[0]), everything[1]).backward()
        for it in (optimizer, alone):
            it.step()
            it.zero_grad()
    agrees(model, optimizer, single, alone)


class WithLogits(Words):
    """Called and answering as a language model of transformers."""

    def forward(self, tokens, labels):
        return SimpleNamespace(logits=super().forward(tokens))


def recipe_for_the_trainer(rank):
    """That of docs/optimizer.md for transformers, in the `no_sync` under which their Trainer accumulates."""
    names = recipe("Hugging Face `Trainer`")
    model = WithLogits()
    spread = DistributedDataParallel(model)
    trainer = object.__new__(names["IRETrainer"])
    trainer.optimizer = wrap(model, start=0)
    trainer.accelerator = SimpleNamespace(unwrap_model=lambda it: it.module, backward=torch.Tensor.backward)
    trainer.compute_loss_context_manager = nullcontext
    trainer._prepare_inputs = dict
    tokens, labels = (rows.view(2, ROWS // 2) for rows in batch(0, rank))
    with mock.patch.object(names["Trainer"], "training_step"), spread.no_sync():
        trainer.training_step(spread, {"tokens": tokens, "labels": labels})
    assert not trainer.optimizer.curvature_due
    same_everywhere([trainer.optimizer._memory.masks[p] for p in model.parameters()])


def autocast(rank):
    model, single = Words(), Words()
    spread, optimizer, alone = DistributedDataParallel(model), wrap(model), wrap(single)
    train(spread, optimizer, 8, rank, 2, cast=True)
    train(single, alone, 8, cast=True)
    agrees(model, optimizer, single, alone, tolerance=0.3)  # bf16 gradients of Adam: signs may differ


def compiled_model(rank):
    model, single = Words(torch.float64), Words(torch.float64)
    spread = torch.compile(DistributedDataParallel(model), backend="aot_eager")
    optimizer, alone = wrap(model), wrap(single)
    train(spread, optimizer, 8, rank, 2)
    train(single, alone, 8)
    agrees(model, optimizer, single, alone)


def sam_climbs_locally(rank, compiled=False):
    model, by_hand = Words(torch.float64), Words(torch.float64)
    spread, rho, lr = DistributedDataParallel(model), 0.1, 0.5
    if compiled:
        spread = torch.compile(spread, backend="aot_eager")
    optimizer = SAM(torch.optim.SGD(model.parameters(), lr=lr), rho, model=spread)
    tokens, labels = batch(0, rank)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(spread(tokens), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    total = [torch.zeros_like(p) for p in by_hand.parameters()]
    for worker in range(2):
        climber = copy.deepcopy(by_hand)
        tokens, labels = batch(0, worker)
        ps = list(climber.parameters())
        g = torch.autograd.grad(nn.functional.cross_entropy(climber(tokens), labels), ps)
        norm = torch.cat([x.flatten() for x in g]).norm()
        with torch.no_grad():
            for p, x in zip(ps, g, strict=True):
                p += rho * x / norm
        g = torch.autograd.grad(nn.functional.cross_entropy(climber(tokens), labels), ps)
        total = [t + x / 2 for t, x in zip(total, g, strict=True)]
    for p, q, g in zip(model.parameters(), by_hand.parameters(), total, strict=True):
        torch.testing.assert_close(p, q - lr * g)
    same_everywhere([p.detach() for p in model.parameters()])


def sharded(curvature, base=torch.optim.AdamW, **settings):
    """FSDP2: masks equal those of a single worker bit for bit, ties included, and so does the step."""

    def check(rank):
        model, single = Words(torch.float64), Words(torch.float64)
        mesh = init_device_mesh("cpu", (2,))
        for module in (model.hidden, model.head, model):
            fully_shard(module, mesh=mesh)
        optimizer = wrap(model, curvature, base(model.parameters(), lr=0.01), **settings)
        alone = wrap(single, curvature, base(single.parameters(), lr=0.01), **settings)
        train(model, optimizer, 8, rank, 2)
        train(single, alone, 8)
        ones = torch.tensor([sum(int(m.sum()) for m in optimizer._memory.masks.values())])
        dist.all_reduce(ones)
        count = sum(p.numel() for p in single.parameters())
        assert ones.item() == int(0.6 * count)
        if curvature == "random":
            return
        for p, q in zip(model.parameters(), single.parameters(), strict=True):
            mask = DTensor.from_local(
                optimizer._memory.masks[p], mesh, p.placements, shape=p.shape, stride=p.stride()
            )
            assert torch.equal(mask.full_tensor(), alone._memory.masks[q])
            torch.testing.assert_close(whole(p), q, rtol=1e-6, atol=1e-8)

    return check


def sharded_sam(rank):
    """Sharded gradients exist only summed up, so the climb is along the whole batch's gradient."""
    model, single = Words(torch.float64), Words(torch.float64)
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    for it, place in ((model, rank), (single, None)):
        optimizer = SAM(torch.optim.SGD(it.parameters(), lr=0.5), rho=0.1)
        tokens, labels = batch(0, place)

        def closure(it=it, optimizer=optimizer, tokens=tokens, labels=labels):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(it(tokens), labels)
            loss.backward()
            return loss

        optimizer.step(closure)
    for p, q in zip(model.parameters(), single.parameters(), strict=True):
        torch.testing.assert_close(whole(p), q)


def sharded_resume(rank):
    results = []
    for interrupted in (False, True):
        model = Words()
        fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
        optimizer = wrap(model, "empirical", ema=0.5)
        train(model, optimizer, 5, rank, 2)
        if interrupted:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = wrap(model, "empirical", ema=0.5)
            optimizer.load_state_dict(state)
        train(model, optimizer, 5, rank, 2)
        results.append([whole(p.detach()) for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def zero(kind, curvature="sampled", **options):
    """torch's ZeroRedundancyOptimizer: each worker steps and boosts its part, as a single worker steps all."""

    def check(rank):
        model, single = Words(torch.float64), Words(torch.float64)
        base = ZeroRedundancyOptimizer(model.parameters(), kind, lr=0.01, **options)
        optimizer = wrap(model, curvature, base)
        alone = wrap(single, curvature, kind(single.parameters(), lr=0.01))
        train(DistributedDataParallel(model), optimizer, 8, rank, 2)
        train(single, alone, 8)
        assert optimizer.path == "inside"
        agrees(model, optimizer, single, alone)

    return check


def zero_resume(rank):
    """Saved by worker 0, once it has everybody's state, and loaded by both."""

    def built():
        model = Words()
        base = ZeroRedundancyOptimizer(model.parameters(), torch.optim.AdamW, lr=0.01)
        return model, wrap(model, base=base)

    (model, optimizer), (second, resumed) = built(), built()
    train(DistributedDataParallel(model), optimizer, 5, rank, 2)
    optimizer.base.consolidate_state_dict(to=0)
    saved = [copy.deepcopy(optimizer.state_dict()) if rank == 0 else None]
    dist.broadcast_object_list(saved)
    second.load_state_dict(model.state_dict())
    resumed.load_state_dict(saved[0])
    for each, its in ((model, optimizer), (second, resumed)):
        train(DistributedDataParallel(each), its, 5, rank, 2)
    assert all(map(torch.equal, model.parameters(), second.parameters()))


def zero_refused(rank):
    """What a worker does not have is not ranked, and what the step does not do is not boosted."""
    ps = list(Words().parameters())
    for curvature, options, message in (
        ("second_moment", {}, "ZeroRedundancyOptimizer keeps only the state of some on each worker"),
        ("sampled", {"overlap_with_ddp": True}, "steps inside the backward pass; use overlap_with_ddp=False"),
    ):
        base = ZeroRedundancyOptimizer(ps, torch.optim.AdamW, lr=0.01, **options)
        try:
            IRE(base, kappa=1, gamma=0.5, curvature=curvature)
        except ValueError as error:
            assert message in str(error), error
        else:
            raise AssertionError(f"{curvature} {options} was accepted")


def post_local_sgd(rank):
    """The boost belongs to each worker's step, not to the averaging over workers after some of them."""
    ends = []
    for kappa, lr in ((3, 0.1), (0, 0.4)):
        p = nn.Parameter(torch.full((4,), float(rank), dtype=torch.float64))
        averager = PeriodicModelAverager(period=2, warmup_steps=0)
        base = PostLocalSGDOptimizer(torch.optim.SGD([p], lr=lr), averager)
        optimizer = IRE(base, kappa=kappa, gamma=1)
        for step in range(6):
            p.grad = p.detach() * (step + 1 + rank)
            optimizer.step()
        ends.append(p.detach())
    torch.testing.assert_close(*ends)


def resharded(rank):
    """Saved by two workers, loaded by one, saved by it, loaded by two: the same run, and the same masks."""
    names = recipe("`torch.distributed.checkpoint`")
    folders = [pathlib.Path(sys.argv[2].removeprefix("file://")).parent / name for name in ("two", "one")]

    def build(spread):
        model = Words(torch.float64)
        if spread:
            for module in (model.hidden, model.head, model):
                fully_shard(module, mesh=init_device_mesh("cpu", (2,)))
        return model, wrap(model, "sampled", ema=0.5, interval=4)

    straight, optimizer = build(True)
    train(straight, optimizer, 5, rank, 2)
    names["save"](straight, optimizer, folders[0])
    if rank == 0:
        single, its = build(False)
        state = names["state_of"](single, its)
        dcp.load(state, checkpoint_id=folders[0], no_dist=True)
        names["set_model_state_dict"](single, state["model"])
        names["set_optimizer_state_dict"](single, its.base, state["base"])
        assert its.steps == 5 and sum(int(m.sum()) for m in its._memory.masks.values()) == int(
            0.6 * sum(p.numel() for p in single.parameters())
        )
        dcp.save(names["state_of"](single, its), checkpoint_id=folders[1], no_dist=True)
        train(single, its, 5)
    dist.barrier()
    back, again = build(True)
    names["load"](back, again, folders[1])
    for p, q in zip(straight.parameters(), back.parameters(), strict=True):
        assert torch.equal(whole(p), whole(q))
        assert torch.equal(optimizer._memory.masks[p], again._memory.masks[q])
        assert torch.equal(optimizer._memory.averages[p], again._memory.averages[q])
    train(straight, optimizer, 5, rank, 2)
    train(back, again, 5, rank, 2)
    ends = [[whole(p.detach()) for p in model.parameters()] for model in (straight, back)]
    assert all(map(torch.equal, *ends))
    if rank == 0:
        for p, q in zip(single.parameters(), ends[0], strict=True):
            torch.testing.assert_close(p.detach(), q, rtol=1e-6, atol=1e-8)


def sharded_many(rank):
    """Enough values for a sample: a threshold between two, one in a heavy tie, and one that is not finite."""
    mesh = init_device_mesh("cpu", (2,))
    g = torch.Generator().manual_seed(3)
    values = [torch.randn(600, 501, generator=g), torch.randn(9, generator=g), torch.zeros(301, 501)]
    parts = [distribute_tensor(v, mesh, [Shard(0)]) for v in values]
    scores = [part.to_local() for part in parts]
    total = sum(v.numel() for v in values)
    for count in (total // 5, total // 2, total - 1000):
        alone = flattest(values, count)
        masks = flattest(scores, count, parts, workers_of(parts))
        for mask, part, expected in zip(masks, parts, alone, strict=True):
            mine = DTensor.from_local(mask, mesh, part.placements, shape=part.shape, stride=part.stride())
            assert torch.equal(mine.full_tensor(), expected)
    if rank == 1:
        scores[0].view(-1)[7] = float("inf")
    assert flattest(scores, total // 2, parts, workers_of(parts)) is None


def sharded_not_finite(rank):
    """A NaN on one worker keeps the mask on both."""
    for ema in (0.0, 0.5):
        model = Words()
        fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
        optimizer = wrap(model, "sampled", start=0, ema=ema)
        sampled_nll(model(batch(0, rank)[0])).backward()
        if rank == 1:
            model.head.weight.grad.to_local().view(-1)[0] = float("nan")
        optimizer.update_mask()
        assert optimizer.skipped_refreshes == 1 and not optimizer._memory.masks


CHECKS = {
    "sampled": data_parallel("sampled"),
    "sampled, averaged": data_parallel("sampled", ema=0.5),
    "reuse": data_parallel("reuse"),
    "empirical": data_parallel("empirical"),
    "second_moment": data_parallel("second_moment"),
    "random": data_parallel("random"),
    "sharpest": data_parallel("sharpest"),
    "reuse keeps the training gradient": reuse_keeps_the_training_gradient,
    "reuse with a gradient that two share": reuse_with_a_gradient_that_two_share,
    "views of buckets": views_of_buckets,
    "a second optimizer": a_second_optimizer,
    "accumulation": accumulation,
    "recipe for the Trainer": recipe_for_the_trainer,
    "autocast": autocast,
    "compiled model": compiled_model,
    "sam climbs locally": sam_climbs_locally,
    "sam climbs locally, compiled model": lambda rank: sam_climbs_locally(rank, compiled=True),
    "sharded, sampled": sharded("sampled"),
    "sharded, averaged": sharded("sampled", ema=0.5),
    "sharded, empirical": sharded("empirical", torch.optim.SGD),
    "sharded, second_moment": sharded("second_moment"),
    "sharded, measured": sharded("empirical", torch.optim.RAdam),
    "sharded, random": sharded("random"),
    "sharded, sam": sharded_sam,
    "sharded, resume": sharded_resume,
    "sharded, not finite": sharded_not_finite,
    "sharded, many": sharded_many,
    "resharded": resharded,
    "zero, AdamW": zero(torch.optim.AdamW),
    "zero, RAdam, one bucket": zero(torch.optim.RAdam, "random", parameters_as_bucket_view=True),
    "zero, resume": zero_resume,
    "zero, refused": zero_refused,
    "post-local SGD": post_local_sgd,
}


def main() -> None:
    rank, address = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    outcome = {}
    for name, check in CHECKS.items():
        try:
            check(rank)
            outcome[name] = None
        except Exception:
            outcome[name] = traceback.format_exc()
        dist.barrier()
    print(json.dumps(outcome))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
