"""Vision Transformers (Dosovitskiy et al. 2021) of any size, built by torchvision."""

from torch import nn


def vision_transformer(
    *, side: int, patch: int, layers: int, dim: int, heads: int, classes: int, dropout: float = 0.0
) -> nn.Module:
    """A ViT on images of `side` pixels in patches of `patch`, with an MLP of 4 x `dim`.

    The class is read from a class token. (The released code of Wang et al. 2024 averages over the patches.)
    """
    # Imported only where it is used, because it must match torch's build.
    from torchvision.models import VisionTransformer  # pyright: ignore[reportMissingTypeStubs] - it has none

    return VisionTransformer(
        image_size=side,
        patch_size=patch,
        num_layers=layers,
        num_heads=heads,
        hidden_dim=dim,
        mlp_dim=4 * dim,
        dropout=dropout,
        num_classes=classes,
    )
