"""Networks have the sizes that the literature reports."""

import pytest
import torch
from torchvision.models import vgg16_bn

from ire.invalid_input import InvalidInput
from trainables.models.causal_transformer import CausalTransformer
from trainables.models.cifar_resnet import CifarResNet
from trainables.models.vgg import VGG16, Vgg
from trainables.models.wide_resnet import WideResNet
from trainables.task import load_task, task_names

MODELS = [
    (lambda: CifarResNet(depth=20, classes=10), 0.27e6, "He et al. 2016, Table 6"),
    (lambda: CifarResNet(depth=56, classes=10), 0.85e6, "He et al. 2016, Table 6"),
    (lambda: CifarResNet(depth=110, classes=10), 1.7e6, "He et al. 2016, Table 6"),
    (lambda: WideResNet(depth=28, widening=10, classes=10), 36.5e6, "Zagoruyko and Komodakis 2016, Table 5"),
    (lambda: WideResNet(depth=16, widening=8, classes=10), 11.0e6, "Zagoruyko and Komodakis 2016, Table 5"),
    (lambda: load_task("cifar10-resnet18").network(), 11.17e6, "He et al. 2016 with a 3x3 stem"),
    (
        lambda: load_task("cifar10-vgg11").network(),
        9.23e6,
        "Simonyan and Zisserman 2015, A, with a linear head",
    ),
    (lambda: Vgg(VGG16, classes=1000, batch_norm=True, hidden=4096), 138.4e6, "torchvision's vgg16_bn"),
    (lambda: load_task("cifar10-wrn16-8").network(), 11.0e6, "Zagoruyko and Komodakis 2016, Table 5"),
    (lambda: load_task("cifar100-wrn28-10").network(), 36.5e6, "Zagoruyko and Komodakis 2016, Table 5"),
    (lambda: load_task("imagenet-resnet50").network(1000), 25.6e6, "He et al. 2016"),
    (lambda: load_task("imagenet-vit-s").network(1000), 22e6, "Touvron et al. 2021, Table 1"),
    (
        lambda: load_task("cifar100-vit-s").network(),
        21.3e6,
        "ViT-S without its 16x16 patches and 1000 classes",
    ),
    (lambda: load_task("cifar100-vit-t").network(), 5.4e6, "ViT-T, likewise"),
    (
        lambda: load_task("wikitext2").network(33_278),
        4.66e6,
        "4.26 of them the embedding; the paper says 4.3",
    ),
    (lambda: load_task("wikitext103-llama60m").network(50_257), 60e6, "Wang et al. 2024, Fig. 4"),
    (lambda: load_task("minipile-llama119m").network(50_257), 119e6, "Wang et al. 2024, Fig. 4"),
    (lambda: load_task("openwebtext-llama229m").network(50_257), 229e6, "Wang et al. 2024, Fig. 4"),
]


@pytest.mark.parametrize(("build", "literature", "source"), MODELS)
def test_parameters_are_those_of_the_literature(build, literature, source):
    with torch.device("meta"):
        count = sum(p.numel() for p in build().parameters())
    assert count == pytest.approx(literature, rel=0.02), source


@pytest.mark.slow
def test_vgg16_begins_as_torchvisions():
    torch.manual_seed(0)
    theirs = vgg16_bn(num_classes=10).state_dict()
    torch.manual_seed(0)
    ours = load_task("cifar10-vgg16").network().state_dict()
    for one, other in zip(ours.values(), theirs.values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "build", [lambda: CifarResNet(depth=8, classes=7), lambda: WideResNet(depth=10, widening=1, classes=7)]
)
def test_images_of_any_size_become_logits(build):
    for side in (32, 16):
        assert build()(torch.randn(2, 3, side, side)).shape == (2, 7)


@pytest.mark.parametrize(
    "build", [lambda: CifarResNet(depth=55, classes=10), lambda: WideResNet(depth=15, widening=8, classes=10)]
)
def test_an_impossible_depth_is_refused(build):
    with pytest.raises(InvalidInput, match="must be 6n"):
        build()


LANGUAGE = ["stdlib-lm", *(f"{name}@tiny" for name in task_names() if "llama" in name or name == "wikitext2")]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LANGUAGE)
def test_no_language_model_sees_the_future(name, training, small_data):
    task = load_task(name)
    torch.manual_seed(0)
    model = task.model().train(training)
    text, _ = next(iter(task.eval_batches("validation")))
    place = text.shape[1] // 2
    changed = text[:2].clone()
    changed[:, place] = (changed[:, place] + 1) % 50
    with torch.no_grad():
        before, after = model(text[:2]), model(changed)
    assert torch.allclose(before[:, :place], after[:, :place], atol=1e-6)
    assert not torch.allclose(before[:, place:], after[:, place:], atol=1e-4)


@pytest.mark.parametrize("name", LANGUAGE)
def test_every_position_predicts_the_token_that_follows_it(name, small_data):
    task = load_task(name)
    inputs, targets = task.prepared(next(task.train_batches(seed=0, start=0)))
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    for inputs, targets in task.eval_batches("test"):
        assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_positions_are_told_apart_by_their_place_in_the_text_not_in_the_batch():
    model = CausalTransformer(vocabulary=5, context=6, sines=True, tied=True, dim=8, heads=2).eval()
    text = torch.full((3, 6), 2)
    with torch.no_grad():
        logits = model(text)
    assert torch.allclose(logits[0], logits[1])
    assert not torch.allclose(logits[:, 1], logits[:, 4])
