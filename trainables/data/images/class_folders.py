"""Images sorted into folders by class: which classes there are, and that all splits agree on them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ire.invalid_input import InvalidInput
from trainables.data.images.open_image import SUFFIXES
from trainables.data.originals import Say, files_below, folders_in

LISTED = 5
"""Names in a message."""


@dataclass(frozen=True)
class Listed:
    """The images of one split and the class of each, in the order of classes and names."""

    paths: list[Path]
    labels: list[int]


def classes_in(folder: Path) -> list[str]:
    """The names of the classes: the folders in `folder` that are not hidden; raises `InvalidInput` if one is empty."""
    folders = folders_in(folder)
    empty = [path for path in folders if not _images(path)]
    if empty and len(empty) < len(folders):
        raise InvalidInput(
            f"{empty[0]}: a class without images ({len(empty)} of {len(folders)} folders have none); remove it, or "
            "fetch its images"
        )
    return [] if empty else [path.name for path in folders]


def listed(folder: Path, classes: Sequence[str], *, trained: Path, say: Say) -> Listed:
    """The images of each class in `folder`; raises `InvalidInput` unless its classes are `classes`, those of `trained`.

    A class may have subfolders. Files that are not images are counted and reported.
    """
    here = classes_in(folder)
    unknown, missing = sorted(set(here) - set(classes)), sorted(set(classes) - set(here))
    if unknown or missing:
        raise InvalidInput(_disagreement(folder, trained, unknown, missing))
    paths: list[Path] = []
    labels: list[int] = []
    others: Counter[str] = Counter(
        path.suffix.lower() or path.name for path in folder.iterdir() if path.is_file()
    )
    for label, name in enumerate(classes):
        for path in files_below(folder / name):
            if path.suffix.lower() in SUFFIXES:
                paths.append(path)
                labels.append(label)
            else:
                others[path.suffix.lower() or path.name] += 1
    say(f"{len(paths):,} images of {len(classes)} classes in {folder.name}/")
    if others:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in others.most_common(LISTED))
        say(f"{others.total():,} files in {folder.name}/ are not images and are left out: {kinds}")
    return Listed(paths, labels)


def find_splits(root: Path, trains: Sequence[str], tests: Sequence[str]) -> tuple[Path, Path] | None:
    """The folders of training and test images in `root`, or in its only subfolder, and so on; None without any."""
    for place in wrapped(root):
        train = next((place / name for name in trains if (place / name).is_dir()), None)
        test = next((place / name for name in tests if (place / name).is_dir()), None)
        if train is not None and test is not None:
            return train, test
    return None


def wrapped(root: Path) -> list[Path]:
    """`root`, the only folder in it, the only one in that, and so on."""
    places = [root]
    while root.is_dir() and len(inner := folders_in(root)) == 1:
        root = inner[0]
        places.append(root)
    return places


def _images(folder: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in files_below(folder))


def _disagreement(folder: Path, trained: Path, unknown: list[str], missing: list[str]) -> str:
    parts: list[str] = []
    for names, what in ((unknown, f"only in {folder.name}/"), (missing, f"only in {trained.name}/")):
        if names:
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            parts.append(f"{', '.join(map(repr, names[:LISTED]))}{more} {what}")
    folded = {name.casefold(): name for name in missing}
    for name in unknown:
        near = folded.get(name.casefold()) or next(iter(get_close_matches(name, missing, 1)), None)
        if near is not None:
            parts.append(f"is {name!r} spelt {near!r} there?")
            break
    return f"{folder}: its classes are not those of {trained}: {'; '.join(parts)}"
