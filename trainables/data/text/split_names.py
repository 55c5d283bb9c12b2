"""Assigns the files of a folder of texts to splits by their names, where these are unambiguous."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ire.invalid_input import InvalidInput

SPLITS: tuple[str, ...] = ("train", "validation", "test")
SPLIT_WORDS = {
    "train": ("train", "training", "trainset", "trn"),
    "validation": (
        *("valid", "validation", "val", "dev", "eval", "evaluation", "heldout", "holdout"),
        *("validset", "valset", "devset", "evalset"),
    ),
    "test": ("test", "testing", "testset"),
}
FILLERS = ("of", "part", "shard", "set", "data", "split")
"""Words that may appear beside a split's in a name that names nothing else."""
ABOUT = re.compile(r"(readme|licen[cs]e|copying|notice|changelog|citation|authors|contributing)\b", re.I)
"""Beginnings of the names of files about a text, such as readme and licence."""
FEW = 0.1
"""If at least this share of the file names contradict each other, it is not an accident."""
MANY_DOCUMENTS, TINY_SHARE = 50, 1e-3


@dataclass
class Assigned:
    """The files of each split that has any, and those that are left out."""

    splits: dict[str, list[Path]] = field(default_factory=dict[str, list[Path]])
    left_out: list[Path] = field(default_factory=list[Path])


def split_named(name: str) -> str | None:
    """The split that the name of a file or folder names; None if it names none or several."""
    named = {split for split in SPLITS if any(word in SPLIT_WORDS[split] for word in _words(name))}
    return named.pop() if len(named) == 1 else None


def parts_there(paths: Sequence[Path]) -> str:
    """How many parts are there, as in ` (3 of 80 parts)`, if names like `train-00002-of-00080` say that some lack."""
    parts = {
        (path.parent, path.name[: found.start()], found[2], found[1])
        for path in paths
        if (found := re.search(r"(\d+)-of-(\d+)", path.name))
    }
    total = sum(int(count) for *_, count in {part[:3] for part in parts})
    return f" ({len(parts)} of {total} parts)" if len(parts) < total else ""


def split_of_path(path: Path, root: Path) -> str | None:
    """The split that the innermost part of a path below `root` names; for `root` itself, its own name."""
    parts = [path.name] if path == root else path.relative_to(root).parts
    return next(filter(None, map(split_named, reversed(parts))), None)


def assign(files: Sequence[Path], root: Path, *, glob: bool = False) -> Assigned:
    """Deal `files` to splits; raises `InvalidInput` for a name that may not mean what it seems to.

    Names count if one of them names train, or names another split and nothing else. A file that names no split is then
    left out beside files that name train, and trained on otherwise. With `glob` the user has chosen the files: names
    count only if each of them names a split.
    """
    texts = [path for path in files if glob or not ABOUT.match(path.name)]
    named = {path: split_of_path(path, root) for path in texts}
    kinds = Counter(named.values())
    if glob and (kinds[None] or not kinds["train"]):
        return Assigned({"train": list(texts)} if texts else {})
    assigned = Assigned(left_out=[path for path in files if path not in named])
    if not kinds["train"]:
        _check_without_train(named, root)
        named = {path: split if _names_nothing_else(path, root) else None for path, split in named.items()}
    for path, split in named.items():
        if split is None and kinds["train"]:
            assigned.left_out.append(path)
        else:
            assigned.splits.setdefault(split or "train", []).append(path)
    _check_sizes(assigned)
    _check_twice(assigned.splits, root)
    return assigned


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _names_nothing_else(path: Path, root: Path) -> bool:
    """Whether a file or folder is named after a split alone, such as `test/` and `valid-00001.parquet`."""
    parts = [path.name] if path == root else path.relative_to(root).parts
    every = {word for words in SPLIT_WORDS.values() for word in words} | set(FILLERS)
    return any(set(_words(part.partition(".")[0])) <= every and split_named(part) for part in parts)


def _check_without_train(named: Mapping[Path, str | None], root: Path) -> None:
    doubtful = [path for path, split in named.items() if split and not _names_nothing_else(path, root)]
    if doubtful and len(doubtful) >= FEW * len(named):
        raise InvalidInput(
            f"{doubtful[0]}: names the split {named[doubtful[0]]}, but no file names train; put train, valid and test "
            "into the names, or add --glob '*' to read the files as one text, of which a part is held out"
        )


def _check_sizes(assigned: Assigned) -> None:
    sizes = {split: sum(path.stat().st_size for path in paths) for split, paths in assigned.splits.items()}
    lost = [path for path in assigned.left_out if not ABOUT.match(path.name)]
    size = sum(path.stat().st_size for path in lost)
    if lost and size > sizes.get("train", 0):
        raise InvalidInput(
            f"{lost[0]}: {len(lost)} files ({size:,} bytes) name no split and would be left out, while "
            f"{assigned.splits['train'][0].name!r} names train; rename them, or take all files with --glob '*'"
        )
    for split in SPLITS[1:]:
        paths, train = assigned.splits.get(split, []), assigned.splits.get("train", [])
        is_one_of_many = len(paths) == 1 and len(train) >= MANY_DOCUMENTS
        if is_one_of_many and sizes[split] < TINY_SHARE * sizes["train"]:
            raise InvalidInput(
                f"{paths[0]}: would be the whole {split} text, {sizes[split]:,} bytes beside {len(train)} files of "
                "training text; rename it, or take all files as one text with --glob '*'"
            )


def _check_twice(splits: Mapping[str, Sequence[Path]], root: Path) -> None:
    for paths in splits.values():
        forms: dict[str, Path] = {}
        for path in paths:
            stem = re.sub(
                r"(\.(tokens|raw|txt|text|md|jsonl?|ndjson|parquet|arrow|gz|xz|bz2|zst))+$", "", str(path)
            )
            if stem in forms and path != forms[stem]:
                raise InvalidInput(
                    f"{path} and {forms[stem].name} seem to be one text in two forms; choose one with --glob, as in "
                    f"--glob '*{path.suffix}'"
                )
            forms[stem] = path
