"""Which extra brings a package that is not installed, in one line instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from ire.invalid_input import InvalidInput

EXTRAS = {
    "sweep": (
        *(
            "ray",
            "optuna",
            "tensorboard",
            "typer",
            "rich",
            "pandas",
            "matplotlib",
            "sklearn",
            "scipy",
            "joblib",
        ),
        *("pyarrow", "numpy", "jinja2", "tomli_w", "filelock", "click", "PIL"),
    ),
    "vision": ("torchvision",),
    "text": ("transformers", "tokenizers", "datasets"),
    "lora": ("peft",),
    "optimizers": ("pytorch_optimizer", "schedulefree"),
}
"""By extra of the package: the modules that it brings and that the code imports."""


class MissingExtra(InvalidInput, ImportError):
    """A part of the package was asked for whose requirements are not installed."""


def extra_of(module: str) -> str | None:
    """The extra that brings `module`; None for one that is none of ours to bring."""
    top = module.partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if top in modules), None)


@contextmanager
def explain_missing(what: str) -> Iterator[None]:
    """Raise `MissingExtra` with the command to type where an import inside fails for want of an extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "")
        if extra is None:
            raise
        raise MissingExtra(
            f"{what} needs the package {error.name!r}, which is not installed: pip install 'ire[{extra}]'"
        ) from error
