"""Images in the forms in which they are found: read right, or refused with the path of what is wrong."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from ire.invalid_input import InvalidInput
from trainables.data.images.imagenet import images_of
from trainables.data.images.open_image import rgb_image
from trainables.data.store import open_store
from trainables.task import load_task
from trainables.task_data.prepare import prepare

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 107\n"


def picture(value, side=32):
    return Image.fromarray(np.full((side, side, 3), value, np.uint8))


def encoded(value, side=32):
    buffer = io.BytesIO()
    picture(value, side).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder, splits=("train", "test"), classes=NAMES, count=2, side=32):
    for split in splits:
        for label, name in enumerate(classes):
            place = folder / split / name
            place.mkdir(parents=True, exist_ok=True)
            for n in range(count):
                picture((20 * label + n) % 256, side).save(place / f"{n}.png")
    return folder


def stored(source, tmp_path, task="cifar10-resnet56"):
    said = []
    return open_store(prepare(task, into=tmp_path / "out", source=source, say=said.append), remedy=""), said


def check_cifar(store, count=2):
    labels, images = store.array("train-labels"), store.array("train-images")
    assert np.bincount(labels).tolist() == [count] * 10
    assert set((images[:, 0, 0, 0] // 20 - labels).tolist()) == {0}
    assert store.facts["classes"] == NAMES
    assert len(store.array("test-labels")) > 0


def zipped(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in folder.rglob("*.png"):
            archive.write(path, f"wrap/per/{path.relative_to(folder)}")
        archive.writestr("__MACOSX/train/cat/._0.png", "x")
    return tmp_path / "all.zip"


def tarred(folder, tmp_path):
    with tarfile.open(tmp_path / "all.tar.xz", "w:xz") as archive:
        archive.add(folder, "cifar10")
    return tmp_path / "all.tar.xz"


def littered(folder, _):
    for name in (".ipynb_checkpoints", ".git"):
        (folder / "train" / name).mkdir()
        picture(0).save(folder / "train" / name / "0.png")
    (folder / "train" / "cat" / "._0.png").write_bytes(b"x")
    return folder


def of_val(folder, _):
    (folder / "test").rename(folder / "val")
    return folder


@pytest.mark.parametrize("form", [zipped, tarred, littered, of_val])
def test_folders_of_images_are_taken_wrapped_packed_and_littered(form, tmp_path):
    store, _ = stored(form(write(tmp_path / "images"), tmp_path), tmp_path)
    check_cifar(store)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["cifar10"]


def test_the_binary_version_is_read(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    labels = np.arange(20) % 10
    records = np.concatenate([labels[:, None], np.repeat(20 * labels[:, None], 3072, axis=1)], axis=1).astype(
        np.uint8
    )
    for name in [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]:
        (folder / name).write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    store, _ = stored(tmp_path, tmp_path)
    check_cifar(store, count=10)
    (folder / "data_batch_3.bin").write_bytes(records.tobytes()[:-5])
    with pytest.raises(InvalidInput, match=r"data_batch_3\.bin: .* not whole records of 3073"):
        stored(tmp_path / "cifar-10-batches-bin", tmp_path / "again")


def write_tables(folder, classes, column="img", side=32):
    folder.mkdir()
    features = {"info": {"features": {"label": {"names": classes, "_type": "ClassLabel"}}}}
    for split in ("train", "test"):
        labels = [n % len(classes) for n in range(2 * len(classes))]
        images = [{"bytes": encoded(20 * label, side), "path": None} for label in labels]
        table = pa.table({column: images, "label": labels})
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
        parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    return folder


def changed(folder, split, **columns):
    """The table of one split with other columns."""
    path = next(folder.glob(f"{split}-*"))
    old = parquet.read_table(path)
    new = pa.table({name: columns.get(name, old[name]) for name in old.column_names})
    parquet.write_table(new.replace_schema_metadata(columns.get("metadata", old.schema.metadata)), path)
    return folder


def reordered(names):
    return {"huggingface": json.dumps({"info": {"features": {"label": {"names": names}}}})}


@pytest.mark.parametrize("task", ["cifar10-resnet56", "imagenet-resnet50"])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": ["cat"] * 20}, r"row 0: its class is 'cat', must be a number"),
        ({"label": [0.5] * 20}, r"row 0: its class is 0\.5, must be a number"),
        ({"label": [0] * 19 + [None]}, r"row 19: its class is None, must be a number"),
        ({"label": [-1] * 20}, r"row 0: its class is -1, must be a number from 0"),
        ({"label": [10] * 20}, r"10 classes"),
        ({"img": [{"bytes": None, "path": "x.png"}] * 20}, r"row 0: has no image; save the data set with"),
        ({"img": [None] * 20}, r"row 0: has no image; save the data set with"),
        (
            {"metadata": reordered(NAMES[::-1])},
            r"the names of its classes, or their order, are not those of .*test-",
        ),
    ],
)
def test_tables_with_other_classes_or_without_images_are_refused_by_row(columns, message, task, tmp_path):
    tables = changed(write_tables(tmp_path / "tables", NAMES), "train", **columns)
    with pytest.raises(InvalidInput, match=message):
        stored(tables, tmp_path, task)
    assert not list((tmp_path / "out").glob("*"))


def test_a_class_without_images_does_not_move_the_numbers_of_the_others(tmp_path):
    tables = write_tables(tmp_path / "tables", ["a", "b", "c"], "image", 64)
    for split in ("train", "test"):
        changed(tables, split, label=[2, 0, 2, 0, 2, 0])
    store, _ = stored(tables, tmp_path, "imagenet-resnet50")
    assert store.facts["classes"] == ["a", "b", "c"]
    assert store.array("train-labels").tolist() == [0, 0, 0, 2, 2, 2]
    assert store.array("test-labels").tolist() == [0, 0, 0, 2, 2, 2]


def test_hugging_faces_tables_are_read(tmp_path):
    check_cifar(stored(write_tables(tmp_path / "tables", NAMES), tmp_path)[0])


def test_photographs_of_tables_and_archives_are_kept_with_the_data(tmp_path):
    store, _ = stored(
        write_tables(tmp_path / "tables", ["n1", "n2", "n3"], "image", 64), tmp_path, "imagenet-resnet50"
    )
    assert store.facts["classes"] == ["n1", "n2", "n3"]
    row = store.array("train-paths")[0].tobytes().rstrip(b"\0").decode()
    with rgb_image(images_of(store) / row) as image:
        assert image.getpixel((0, 0))[0] // 20 == store.array("train-labels")[0]
    archive = tarred(write(tmp_path / "images", ("train", "val"), ["a", "b"], side=64), tmp_path)
    store, _ = stored(archive, tmp_path / "second", "imagenet-resnet50")
    assert len(store.array("test-labels")) == 4
    row = store.array("test-paths")[3].tobytes().rstrip(b"\0").decode()
    assert (images_of(store) / row).is_file()


def flat(folder, classes=("a", "b", "c")):
    """`val/` without classes: six images, of the classes a, b, c, a, b, c."""
    write(folder, ("train",), classes, side=64)
    (folder / "val").mkdir()
    names = []
    for n in range(6):
        names.append(f"ILSVRC2012_val_{n + 1:08d}")
        picture(20 * (n % 3), 64).save(folder / "val" / f"{names[-1]}.JPEG")
    return names


def of_kaggle(folder, names):
    lines = ["ImageId,PredictionString", *(f"{name},{'abc'[n % 3]} 1 2 3 4" for n, name in enumerate(names))]
    (folder / "LOC_val_solution.csv").write_text("\n".join(lines) + "\n")


def of_tiny(folder, names):
    (folder / "val" / "images").mkdir()
    for name in names:
        (folder / "val" / f"{name}.JPEG").rename(folder / "val" / "images" / f"{name}.JPEG")
    lines = [f"{name}.JPEG\t{'abc'[n % 3]}\t0\t0\t9\t9" for n, name in enumerate(names)]
    (folder / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")


def of_the_kit(folder, names):
    from scipy.io import savemat

    kind = [("ILSVRC2012_ID", object), ("WNID", object)]
    synsets = np.array([(3, "a"), (1, "b"), (2, "c")], dtype=kind)
    (folder / "devkit" / "data").mkdir(parents=True)
    savemat(folder / "devkit" / "data" / "meta.mat", {"synsets": synsets})
    numbers = [{"a": 3, "b": 1, "c": 2}["abc"[n % 3]] for n in range(len(names))]
    (folder / "devkit" / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text(
        "\n".join(map(str, numbers))
    )


@pytest.mark.parametrize("labels", [of_kaggle, of_tiny, of_the_kit])
def test_a_flat_folder_of_validation_images_has_the_labels_of_its_publisher(labels, tmp_path):
    names = flat(tmp_path / "images")
    with pytest.raises(InvalidInput, match=r"no file that lists their classes; put LOC_val_solution\.csv"):
        stored(tmp_path / "images", tmp_path, "imagenet-resnet50")
    labels(tmp_path / "images", names)
    store, _ = stored(tmp_path / "images", tmp_path, "imagenet-resnet50")
    assert store.array("test-labels").tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("labels", "name", "content"),
    [
        (of_kaggle, "LOC_val_solution.csv", b"Id,Class\nILSVRC2012_val_00000001,a\n"),
        (of_kaggle, "LOC_val_solution.csv", b"ImageId,PredictionString\nILSVRC2012_val_00000001,\n"),
        (of_kaggle, "LOC_val_solution.csv", POINTER),
        (of_the_kit, "ILSVRC2012_validation_ground_truth.txt", b"3\n1\n9\n"),
        (of_the_kit, "meta.mat", b"junk" * 99),
    ],
)
def test_a_damaged_list_of_classes_is_named(labels, name, content, tmp_path):
    labels(tmp_path / "images", flat(tmp_path / "images"))
    next((tmp_path / "images").rglob(name)).write_bytes(content)
    with pytest.raises(
        InvalidInput, match=rf"{name}: (damaged, or not its publisher's|is a Git LFS pointer)"
    ):
        stored(tmp_path / "images", tmp_path, "imagenet-resnet50")


@pytest.mark.parametrize("labels", [of_kaggle, of_tiny])
def test_a_flat_folder_from_a_mac_or_a_list_from_windows_changes_nothing(labels, tmp_path):
    labels(tmp_path / "images", flat(tmp_path / "images"))
    images = next((tmp_path / "images" / "val").rglob("*_00000001.JPEG"))
    (images.parent / f"._{images.name}").write_bytes(b"x")
    listed = next(path for path in (tmp_path / "images").rglob("*") if path.suffix in (".csv", ".txt"))
    listed.write_bytes(b"\xef\xbb\xbf" + listed.read_bytes().replace(b"\n", b"\r\n"))
    store, _ = stored(tmp_path / "images", tmp_path, "imagenet-resnet50")
    assert store.array("test-labels").tolist() == [0, 1, 2, 0, 1, 2]


def test_pointers_in_the_place_of_photographs_are_refused_and_lost_ones_found(tmp_path, monkeypatch):
    folder = write(tmp_path / "images", ("train", "val"), ["a", "b\udcff"], side=64)
    store, _ = stored(folder, tmp_path, "imagenet-resnet50")
    monkeypatch.setenv("IRE_DATA", str(tmp_path / "out"))
    data = load_task("imagenet-resnet50").data
    data.verify(store)
    (folder / "val" / "b\udcff" / "1.png").write_bytes(POINTER)
    with pytest.raises(InvalidInput, match=r"1\.png: is missing, or does not have"):
        data.verify(store)
    with pytest.raises(InvalidInput, match=r"1\.png: is a Git LFS pointer"):
        stored(folder, tmp_path / "again", "imagenet-resnet50")


def test_official_archives_are_told_how_to_be_unpacked(tmp_path):
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars" / "ILSVRC2012_img_val.tar").write_bytes(b"x" * 2000)
    with pytest.raises(InvalidInput, match=r"must be unpacked first.*torchvision\.datasets import ImageNet"):
        stored(tmp_path / "tars", tmp_path, "imagenet-resnet50")


def renamed(folder):
    (folder / "test" / "frog").rename(folder / "test" / "Frog")


def emptied(folder):
    for path in (folder / "train" / "frog").iterdir():
        path.unlink()


def damaged(folder):
    path = folder / "train" / "frog" / "0.png"
    path.write_bytes(path.read_bytes()[:60])


def pointing(folder):
    (folder / "train" / "frog" / "0.png").write_bytes(POINTER)


def larger(folder):
    picture(0, 40).save(folder / "test" / "frog" / "0.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, r"test: its classes are not those of .*train: 'Frog' only in test/; 'frog' only in train/"),
        (emptied, r"train/frog: a class without images"),
        (damaged, r"train/frog/0\.png: damaged, or not an image"),
        (pointing, r"train/frog/0\.png: is a Git LFS pointer"),
        (larger, r"test/frog/0\.png: 40x40 pixels, must be 32x32"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_wrong_is_named_by_its_path(change, message, packed, tmp_path):
    folder = write(tmp_path / "images")
    change(folder)
    source = tarred(folder, tmp_path) if packed else folder
    with pytest.raises(InvalidInput, match=message) as caught:
        stored(source, tmp_path)
    assert "unpacked-" not in str(caught.value)
    assert not list((tmp_path / "out").glob("*"))


def test_files_that_are_no_images_are_counted(tmp_path):
    folder = write(tmp_path / "images")
    for n in range(3):
        (folder / "train" / "cat" / f"{n}.npy").write_bytes(b"x")
    (folder / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    _, said = stored(folder, tmp_path)
    assert any(
        "4 files in train/ are not images and are left out: .npy (3), .db (1)" in line for line in said
    )


def test_an_image_that_is_damaged_later_is_named_in_training(tmp_path, monkeypatch):
    folder = write(tmp_path / "images", ("train", "val"), ["a", "b"], count=300, side=40)
    stored(folder, tmp_path, "imagenet-resnet50")
    monkeypatch.setenv("IRE_DATA", str(tmp_path / "out"))
    task = load_task("imagenet-resnet50@tiny")
    for path in (folder / "train").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InvalidInput, match=r"train/[ab]/\d+\.png: damaged, or not an image"):
        next(task.train_batches(seed=0, start=0))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(np.full((4, 4), 40_000, np.uint16)), (156, 156, 156)),
        (Image.fromarray(np.full((4, 4), 65_535, np.uint16)), (255, 255, 255)),
        (Image.new("L", (4, 4), 7), (7, 7, 7)),
        (Image.new("1", (4, 4), 1), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (10, 20, 30, 0)), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (10, 20, 30, 255)), (10, 20, 30)),
        (Image.new("LA", (4, 4), (90, 255)), (90, 90, 90)),
        (picture(60, 4).quantize(4), (60, 60, 60)),
    ],
)
def test_every_mode_becomes_the_colours_that_are_seen(image, expected, tmp_path):
    image.save(tmp_path / "image.png")
    with rgb_image(tmp_path / "image.png") as found:
        assert found.mode == "RGB"
        assert np.abs(np.array(found.getpixel((1, 1))) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_transparent_colour_becomes_white(mode, tmp_path):
    colour = {"1": 0, "L": 9, "P": 0, "RGB": (1, 2, 3)}[mode]
    Image.new(mode, (4, 4), colour).save(tmp_path / "image.png", transparency=colour)
    with rgb_image(tmp_path / "image.png") as found:
        assert found.getpixel((1, 1)) == (255, 255, 255)


def test_cmyk_becomes_the_colours_that_are_seen(tmp_path):
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "cyan.jpg", quality=95)
    with rgb_image(tmp_path / "cyan.jpg") as found:
        assert np.abs(np.array(found.getpixel((4, 4))) - (0, 255, 255)).max() <= 3


@pytest.mark.parametrize("mode", ["F", "I"])
def test_grey_values_beyond_16_bits_are_refused(mode, tmp_path):
    Image.new(mode, (4, 4), 70_000).save(tmp_path / "image.tif")
    with pytest.raises(InvalidInput, match=r"image\.tif: grey values"), rgb_image(tmp_path / "image.tif"):
        pass
