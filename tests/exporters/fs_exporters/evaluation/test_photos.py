"""Which images are taken, and where their true labels come from."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from fs_exporters.evaluation.photos import find_photos, true_labels
from fs_models.encoders.imagenet import imagenet_names
from fs_runtime.errors import InputError

LABELS = ("tench", "great white shark", "Cock", "twin", "twin")


def touch(folder: Path, names: Sequence[str]) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def truths(truth: str, folder: Path, names: Sequence[str], labels: tuple[str, ...] | None = LABELS) -> list[int | None]:
    return [photo.truth for photo in true_labels(truth, folder, touch(folder, names), labels)[0]]


def test_find_photos_are_evenly_spaced_by_name_when_there_are_too_many(tmp_path: Path) -> None:
    touch(tmp_path, [f"{number}.png" for number in range(9)])
    touch(tmp_path, ["notes.txt", ".hidden.png"])
    assert [path.name for path in find_photos(tmp_path, 3)] == ["0.png", "3.png", "6.png"]
    assert len(find_photos(tmp_path, 100)) == 9


@pytest.mark.parametrize("count", [0, 1])
def test_find_photos_refuses_when_there_are_fewer_than_two(tmp_path: Path, count: int) -> None:
    touch(tmp_path, [f"{number}.png" for number in range(count)])
    with pytest.raises(InputError, match=f"--data .* holds {count} images: give at least two"):
        find_photos(tmp_path, 4)


def test_find_photos_refuses_when_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        find_photos(tmp_path / "none", 4)


def test_true_labels_are_the_folders_when_all_are_labels(tmp_path: Path) -> None:
    names = ["tench/a.png", "deep/great_white_shark/b.png", "COCK/c.png"]
    assert truths("folders", tmp_path, names) == [0, 1, 2]
    photos, source = true_labels("auto", tmp_path, touch(tmp_path, names), LABELS)
    assert ([photo.truth for photo in photos], source) == ([0, 1, 2], "folders")


def test_true_labels_are_unknown_when_some_folder_is_no_label_and_nothing_was_asked(tmp_path: Path) -> None:
    photos, source = true_labels("auto", tmp_path, touch(tmp_path, ["tench/a.png", "holiday/b.png"]), LABELS)
    assert ([photo.truth for photo in photos], source) == ([None, None], "none")


def test_true_labels_name_files_by_escapes_when_they_are_no_utf8(tmp_path: Path) -> None:
    (photo,), _ = true_labels("none", tmp_path, [tmp_path / os.fsdecode(b"a\xff.png")], None)
    assert photo.name == "a\\udcff.png"


@pytest.mark.parametrize("labels", [None, LABELS])
def test_true_labels_are_unknown_when_none_is_asked(tmp_path: Path, labels: tuple[str, ...] | None) -> None:
    assert truths("none", tmp_path, ["tench/a.png"], labels) == [None]


def test_true_labels_are_wordnet_ids_when_the_labels_are_imagenets(tmp_path: Path) -> None:
    names = ["n01440764_tench.JPEG", "n01491361_tiger_shark.JPEG", "n15075141_toilet_tissue.JPEG"]
    assert truths("names", tmp_path, names, imagenet_names()) == [0, 3, 999]
    assert truths("folders", tmp_path, ["n01440764/x.JPEG", "tiger_shark/y.JPEG"], imagenet_names()) == [0, 3]


def test_true_labels_know_no_wordnet_ids_when_the_labels_are_others(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'n01440764', the label of n01440764_tench.JPEG, is none of"):
        truths("names", tmp_path, ["n01440764_tench.JPEG"])


def test_true_labels_come_from_a_table_when_one_is_named(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text('\ufeffa.png,tench\n"deep/b, c.png", Cock \n\n')
    assert truths(str(table), tmp_path, ["a.png", "deep/b, c.png"]) == [0, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.png,tench\n", r"has no line for b.png"),
        ("a.png,tench\nb.png,dragon\n", r"'dragon', the label of b.png, is none of the prototypes' labels"),
        ("a.png,tench\nb.png,twin\n", r"'twin', the label of b.png, is none"),
        ("a.png,tench\nb.png\n", r"row 2 has 1 fields: write path,label"),
    ],
)
def test_true_labels_refuse_a_table_when_it_does_not_fit(tmp_path: Path, content: str, message: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(content)
    with pytest.raises(InputError, match=message):
        truths(str(table), tmp_path, ["a.png", "b.png"])


def test_true_labels_refuse_a_table_when_it_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.csv cannot be read"):
        truths(str(tmp_path / "none.csv"), tmp_path, ["a.png"])


@pytest.mark.parametrize("truth", ["folders", "names", "labels.csv"])
def test_true_labels_refuse_when_there_are_no_prototypes(tmp_path: Path, truth: str) -> None:
    with pytest.raises(InputError, match=f"--truth {truth} needs labels to compare with: give --prototypes"):
        truths(truth, tmp_path, ["tench/a.png"], None)


def test_true_labels_refuse_when_the_source_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--truth must be one of"):
        truths("guess", tmp_path, ["tench/a.png"])
