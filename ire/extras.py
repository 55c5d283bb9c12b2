"""Names the extra that brings a missing package, in one line instead of a traceback."""

from collections.abc import Generator
from contextlib import contextmanager

from ire.invalid_input import InvalidInput

EXTRAS = {
    "inline": (
        *("numpy", "scipy", "sklearn", "joblib", "pandas", "matplotlib", "pyarrow"),
        *("optuna", "tensorboard", "typer", "click", "rich"),
        *("jinja2", "markupsafe", "tomli_w", "filelock"),
    ),
    "sweep": ("ray",),
    "vision": ("torchvision", "PIL"),
    "text": ("transformers", "tokenizers", "datasets"),
    "lora": ("peft",),
    "s3": ("boto3", "botocore"),
    "trackers": ("wandb", "mlflow"),
    "lightning": ("lightning",),
    "optimizers": ("pytorch_optimizer", "schedulefree"),
}
"""The modules that the code imports, by the smallest extra in pyproject.toml that brings them."""

REMARKS = {
    "inline": ", or 'ire[sweep]' for sweeps on Ray",
    "sweep": "; a sweep with --inline (inline=True) does without",
}
"""What a message about a missing package adds, by extra."""


class MissingExtra(InvalidInput, ImportError):
    """A requirement of the requested part of the package is not installed."""


def extra_of(module: str) -> str | None:
    """The extra that brings `module`; None if no extra does."""
    top = module.partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if top in modules), None)


@contextmanager
def explain_missing(what: str) -> Generator[None, None, None]:
    """Turn a failed import of an extra's package into a `MissingExtra` that names the command to type."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = extra_of(package)
        if extra is None:
            raise
        raise MissingExtra(
            f"{what} needs the package {package!r}, which is not installed: pip install 'ire[{extra}]'"
            f"{REMARKS.get(extra, '')}"
        ) from error
