"""The forms in which ImageNet is published: images in folders by class, a flat folder of validation images, Parquet.

The labels of a flat folder come from the file that its publisher puts beside it: Kaggle's `LOC_val_solution.csv`,
Stanford's `val_annotations.txt`, or the official development kit.
"""

import contextlib
import csv
from collections.abc import Generator
from pathlib import Path

from ire.invalid_input import InvalidInput
from trainables.data.images.class_folders import Listed
from trainables.data.images.image_tables import ImageTables
from trainables.data.images.open_image import SUFFIXES
from trainables.data.originals import Say, check_no_pointer, files_below, is_hidden, reason
from trainables.data.text.split_names import parts_there
from trainables.data.untyped import scipy_io

GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
OFFICIAL = "ILSVRC2012_img_"
KAGGLE = "LOC_val_solution.csv"
TINY = "val_annotations.txt"


def flat_images(folder: Path) -> list[Path]:
    """The images directly in `folder`, or in its subfolder `images`, without a folder for each class."""
    inner = folder / "images" if (folder / "images").is_dir() else folder
    files = (path for path in inner.iterdir() if path.is_file() and not is_hidden(path))
    return sorted(path for path in files if path.suffix.lower() in SUFFIXES)


def labelled(folder: Path, classes: list[str], root: Path, say: Say) -> Listed:
    """The flat images of `folder` with their classes, from a file below `root` or beside it; raises `InvalidInput`."""
    images = flat_images(folder)
    names, source = _names_of(images, folder, root)
    numbers = {name: number for number, name in enumerate(classes)}
    for path in images:
        name = names.get(path.stem)
        if name not in numbers:
            raise InvalidInput(
                f"{path}: {source} gives its class as {name!r}, which is not a class of the training images"
                if name
                else f"{path}: {source} does not give its class"
            )
    say(f"{len(images):,} images in {folder.name}/, their classes from {source.name}")
    return Listed(images, [numbers[names[path.stem]] for path in images])


def _names_of(images: list[Path], folder: Path, root: Path) -> tuple[dict[str, str], Path]:
    """The class of each image by its name, and the file that lists them."""
    places = [folder, root, *list(root.resolve().parents)[:3]]
    if (tiny := folder / TINY).is_file():
        with _lists_classes(tiny):
            rows = (line.split() for line in tiny.read_text(encoding="utf-8-sig").splitlines())
            return {Path(row[0]).stem: row[1] for row in rows if len(row) > 1}, tiny
    for place in places:
        if (path := place / KAGGLE).is_file():
            with _lists_classes(path), path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
                return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}, path
    truth = next(
        (path for place in places[:2] for path in files_below(place) if path.name == GROUND_TRUTH), None
    )
    meta = (
        next((path for path in files_below(truth.parent) if path.name == "meta.mat"), None) if truth else None
    )
    if truth is not None and meta is not None:
        with _lists_classes(meta):
            synsets = _synsets(meta)
        with _lists_classes(truth):
            numbers = map(int, truth.read_text().split())
            return {f"ILSVRC2012_val_{row:08d}": synsets[n] for row, n in enumerate(numbers, 1)}, truth
    raise InvalidInput(
        f"{folder}: {len(images):,} images without a folder for each class, and no file that lists their classes; put "
        f"{KAGGLE} (Kaggle) or the unpacked ILSVRC2012_devkit_t12 (image-net.org) beside it, or sort the images into "
        "val/CLASS/"
    )


@contextlib.contextmanager
def _lists_classes(path: Path) -> Generator[None, None, None]:
    """Raise `InvalidInput` with the name of a file that lists the classes of images, if it is damaged or another."""
    check_no_pointer(path)
    try:
        yield
    except Exception as error:  # raised by csv and scipy, and where a column or a number is missing
        raise InvalidInput(
            f"{path}: damaged, or not its publisher's list of classes ({type(error).__name__}: {reason(error)}); fetch "
            "it again"
        ) from error


def _synsets(meta: Path) -> dict[int, str]:
    """The class names of the official class numbers, from the development kit."""
    rows = scipy_io().loadmat(meta, squeeze_me=True)["synsets"]
    return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in rows}


def extracted(tables: ImageTables, into: Path, say: Say) -> list[str]:
    """Write the images of Parquet files to `into`/SPLIT/CLASS, as they are encoded; returns the classes' names."""
    test = next((split for split in ("validation", "test") if split in tables.splits), None)
    if test is None or "train" not in tables.splits:
        raise InvalidInput(f"Parquet files of {', '.join(tables.splits)} only: needs train and validation")
    names: list[str] = list(tables.classes)
    width = len(str(max(1000, len(names))))
    for split, target in (("train", "train"), (test, "val")):
        files = tables.splits[split]
        say(f"extracting {target} from {len(files)} Parquet files{parts_there(files)}")
        for number, (path, encoded, label) in enumerate(tables.rows(split)):
            if names and label >= len(names):
                raise InvalidInput(f"{path}: class {label}, but the file names {len(names)} classes")
            folder = into / target / f"{label:0{width}d}"
            folder.mkdir(parents=True, exist_ok=True)
            suffix = ".png" if encoded.startswith(b"\x89PNG") else ".jpg"
            (folder / f"{number:08d}{suffix}").write_bytes(encoded)
    return names


def check_not_official_archives(folder: Path) -> None:
    """Raise `InvalidInput`, with the commands to run, if the official archives are still packed."""
    found = [path for path in files_below(folder) if path.name.startswith(OFFICIAL) and path.suffix == ".tar"]
    if found:
        raise InvalidInput(
            f"{found[0]}: the official archives must be unpacked first, which takes their size, 150 GB, once more: "
            'with ILSVRC2012_devkit_t12.tar.gz beside them run `python -c "from torchvision.datasets import ImageNet; '
            f"[ImageNet('{found[0].parent}', s) for s in ('train', 'val')]\"`, then give the same --from"
        )
