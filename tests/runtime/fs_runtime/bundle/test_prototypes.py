"""Prototypes: a pair of files, what is refused of them, and what is hashed."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy
from helpers import tiny

from fs_runtime.bundle import Bundle, prototypes, read_bundle
from fs_runtime.bundle.prototypes import (
    FOLDER,
    Prototypes,
    only_prototypes,
    prototype_names,
    read_prototypes,
    write_prototypes,
)
from fs_runtime.errors import BundleError, InputError

VECTORS = np.random.default_rng(1).standard_normal((4, 6)) * [[1.0], [1e-3], [7.0], [1e4]]
LABELS = ("tabby cat", "Größe, größer", "crane", "crane")


def bundle_with(folder: Path, *names: str) -> Bundle:
    """A bundle whose manifest lists the prototypes in it."""
    root = tiny.write_bundle(folder / "bundle")
    for name in names:
        write_prototypes(root / FOLDER, name, VECTORS, LABELS)
    return listed(root)


def listed(root: Path) -> Bundle:
    files = {
        path.relative_to(root).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in sorted((root / FOLDER).glob("*"))
    }
    tiny.edit_manifest(root, lambda manifest: manifest.update(files=files))
    return read_bundle(root)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_with(tmp_path, "cats", "imagenet-1k")


def unit(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


# --- what comes out


def test_read_prototypes_gives_unit_rows_when_the_bundle_has_them(bundle: Bundle) -> None:
    found = read_prototypes("cats", bundle)
    assert (found.name, found.labels, found.dimension, len(found)) == ("cats", LABELS, 6, 4)
    assert found.vectors.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1.0, atol=1e-15)
    np.testing.assert_allclose(found.vectors, unit(VECTORS), atol=1e-7)


@pytest.mark.parametrize("as_path", [False, True])
def test_read_prototypes_gives_those_of_a_file_when_a_path_is_named(
    bundle: Bundle, tmp_path: Path, as_path: bool
) -> None:
    path, _ = write_prototypes(tmp_path / "mine", "dogs", VECTORS, LABELS)
    found = read_prototypes(path if as_path else str(path), bundle)
    assert (found.name, found.labels) == ("dogs", LABELS)
    assert found.sha256 == read_prototypes("cats", bundle).sha256


def test_prototype_names_are_sorted_when_a_bundle_has_several(tmp_path: Path) -> None:
    assert prototype_names(bundle_with(tmp_path, "zebras", "cats", "a.b").manifest) == ("a.b", "cats", "zebras")


def test_prototype_names_are_none_when_a_bundle_has_only_other_files(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "bundle")
    (root / FOLDER).mkdir()
    for name in ("cats.txt", "cats.labels.txt"):
        (root / FOLDER / name).write_text("a\n")
    assert prototype_names(listed(root).manifest) == ()


def test_sha256_is_that_of_the_stored_numbers_when_read_or_made(bundle: Bundle, tmp_path: Path) -> None:
    path, labels = write_prototypes(tmp_path, "cats", VECTORS, LABELS)
    stored = safetensors.numpy.load_file(path)
    assert list(stored) == ["prototypes"]
    assert stored["prototypes"].dtype == np.float32
    digest = hashlib.sha256(stored["prototypes"].tobytes()).hexdigest()
    made = Prototypes.made_of("cats", VECTORS, LABELS)
    assert made.sha256 == digest == read_prototypes("cats", bundle).sha256
    np.testing.assert_array_equal(made.vectors, read_prototypes("cats", bundle).vectors)
    assert Prototypes.made_of("cats", VECTORS[::-1], LABELS).sha256 != digest
    assert labels.read_bytes() == "tabby cat\nGröße, größer\ncrane\ncrane\n".encode()
    assert [path.name, labels.name] == ["cats.safetensors", "cats.labels.txt"]


def test_rows_are_normalised_in_blocks_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Prototypes.made_of("cats", VECTORS, LABELS).vectors
    monkeypatch.setattr(prototypes, "_MOST_NUMBERS", 6)
    np.testing.assert_array_equal(Prototypes.made_of("cats", VECTORS, LABELS).vectors, whole)
    with pytest.raises(InputError, match="prototype 4, 'crane', has norm 0"):
        Prototypes.made_of("cats", VECTORS * [[1.0], [1.0], [1.0], [0.0]], LABELS)


@pytest.mark.parametrize("text", ["a\nb\nc\nd", "a\nb\nc\nd\n", "a\r\nb\r\nc\r\nd\r\n", "\ufeffa\nb\nc\nd\n"])
def test_labels_are_the_same_when_lines_end_in_other_ways(bundle: Bundle, tmp_path: Path, text: str) -> None:
    path, labels = write_prototypes(tmp_path, "cats", VECTORS, LABELS)
    labels.write_bytes(text.encode())
    assert read_prototypes(path, bundle).labels == ("a", "b", "c", "d")


def test_labels_keep_odd_characters_when_they_are_no_line_ends(bundle: Bundle, tmp_path: Path) -> None:
    odd = ("form\x0cfeed", "line\u2028separator", "next\x85line", "\x1b[31mred")
    path, _ = write_prototypes(tmp_path, "cats", VECTORS, odd)
    assert read_prototypes(path, bundle).labels == odd


# --- what is refused


def test_read_prototypes_lists_the_names_when_one_is_unknown(bundle: Bundle, tmp_path: Path) -> None:
    for name in ("dogs", "", "cats.labels.txt", "../prototypes/cats", "prototypes/cats"):
        with pytest.raises(BundleError, match=r"no prototypes named .* \(it has cats, imagenet-1k\)"):
            read_prototypes(name, bundle)
    with pytest.raises(BundleError, match="it has none"):
        read_prototypes("cats", bundle_with(tmp_path / "other"))


def test_only_prototypes_names_the_set_when_there_is_one_and_refuses_otherwise(tmp_path: Path) -> None:
    assert only_prototypes(bundle_with(tmp_path / "one", "cats")) == "cats"
    with pytest.raises(BundleError, match="several sets of prototypes, cats, dogs: name one"):
        only_prototypes(bundle_with(tmp_path / "two", "cats", "dogs"))
    with pytest.raises(BundleError, match="has no prototypes: name a file"):
        only_prototypes(bundle_with(tmp_path / "none"))


def test_read_prototypes_refuses_when_the_bundle_lacks_the_labels(bundle: Bundle) -> None:
    (bundle.root / FOLDER / "cats.labels.txt").unlink()
    with pytest.raises(BundleError, match=r"lacks prototypes/cats\.labels\.txt"):
        read_prototypes("cats", listed(bundle.root))


@pytest.mark.parametrize("name", ["cats.safetensors", "cats.labels.txt"])
def test_read_prototypes_names_the_file_when_it_is_missing(bundle: Bundle, tmp_path: Path, name: str) -> None:
    path, _ = write_prototypes(tmp_path, "cats", VECTORS, LABELS)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=rf"{name} cannot be read \(No such file.*pair of files"):
        read_prototypes(path, bundle)


def test_read_prototypes_refuses_when_the_bundles_file_is_a_link(bundle: Bundle, tmp_path: Path) -> None:
    path = bundle.root / FOLDER / "cats.safetensors"
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(BundleError, match="is a link"):
        read_prototypes("cats", bundle)


def test_read_prototypes_refuses_when_a_path_has_another_ending(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not end in \.safetensors"):
        read_prototypes(tmp_path / "cats.npy", bundle)


def test_read_prototypes_refuses_when_the_dimension_is_another(bundle: Bundle, tmp_path: Path) -> None:
    path, _ = write_prototypes(tmp_path, "wide", np.ones((2, 7)) - np.eye(7)[:2], ("a", "b"))
    with pytest.raises(InputError, match=r"wide\.safetensors holds prototypes of 7 dimensions.* have 6"):
        read_prototypes(path, bundle)


@pytest.mark.parametrize("text", ["a\nb\nc\n", "a\nb\nc\nd\ne\n", "", "a\nb\nc\nd\n\n"])
def test_read_prototypes_refuses_when_labels_are_not_as_many(bundle: Bundle, tmp_path: Path, text: str) -> None:
    path, labels = write_prototypes(tmp_path, "cats", VECTORS, LABELS)
    labels.write_text(text)
    with pytest.raises(InputError, match=r"cats\.labels\.txt: \d labels for 4 prototypes"):
        read_prototypes(path, bundle)


@pytest.mark.parametrize("label", ["", "  ", "x" * 1025])
def test_read_prototypes_refuses_when_a_label_is_no_name(bundle: Bundle, tmp_path: Path, label: str) -> None:
    path, labels = write_prototypes(tmp_path, "cats", VECTORS, LABELS)
    labels.write_text(f"a\n{label}\nc\nd\n")
    with pytest.raises(InputError, match=r"cats\.labels\.txt: label 2 is empty"):
        read_prototypes(path, bundle)


def test_read_prototypes_refuses_when_labels_are_no_text(bundle: Bundle, tmp_path: Path) -> None:
    path, labels = write_prototypes(tmp_path, "cats", VECTORS, LABELS)
    labels.write_bytes(b"a\n\xff\nc\nd\n")
    with pytest.raises(InputError, match=r"cats\.labels\.txt is not text in UTF-8"):
        read_prototypes(path, bundle)


def test_read_prototypes_refuses_when_labels_are_too_long_to_read(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = write_prototypes(tmp_path, "cats", VECTORS, LABELS)
    monkeypatch.setattr(prototypes, "_MOST_LABEL_BYTES", 10)
    with pytest.raises(InputError, match=r"cats\.labels\.txt has \d+ bytes, too many"):
        read_prototypes(path, bundle)


def _saved(tensors: dict[str, npt.NDArray[Any]]) -> bytes:
    return safetensors.numpy.save(tensors)


def _header(header: Any, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


ROWS = VECTORS.astype(np.float32)
WHOLE = _saved({"prototypes": ROWS})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "cannot be read", id="empty"),
        pytest.param(b"\x00" * 7, "cannot be read", id="short"),
        pytest.param(b"junk" * 20, "header is too long", id="junk"),
        pytest.param(WHOLE[:-1], "cannot be read", id="truncated"),
        pytest.param(WHOLE + b"x", "cannot be read", id="longer"),
        pytest.param(_header([1, 2]), "cannot be read", id="no-header"),
        pytest.param(
            _header({"prototypes": {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 4]}}, b"abcd"),
            "cannot be read",
            id="shape-lies",
        ),
        pytest.param(_saved({"vectors": ROWS}), "must hold one tensor, named 'prototypes'", id="other-name"),
        pytest.param(_saved({"prototypes": ROWS, "more": ROWS}), "must hold one tensor", id="two-tensors"),
        pytest.param(_saved({"prototypes": VECTORS}), "holds F64", id="float64"),
        pytest.param(_saved({"prototypes": ROWS.astype(np.int32)}), "holds I32", id="integers"),
        pytest.param(_saved({"prototypes": ROWS[0]}), r"shape \(6,\)", id="one-axis"),
        pytest.param(_saved({"prototypes": ROWS[None]}), r"shape \(1, 4, 6\)", id="three-axes"),
        pytest.param(_saved({"prototypes": ROWS[:1]}), "1 prototypes of 6", id="one-row"),
        pytest.param(_saved({"prototypes": ROWS[:, :0]}), "4 prototypes of 0", id="no-column"),
        pytest.param(
            _saved({"prototypes": ROWS * np.float32([[1], [0], [1], [1]])}), "prototype 2.* norm 0", id="zero"
        ),
        pytest.param(_saved({"prototypes": ROWS + np.float32([[0], [0], [np.nan], [0]])}), "3, 'c'.* nan", id="NaN"),
        pytest.param(_saved({"prototypes": ROWS + np.float32([[0], [0], [0], [np.inf]])}), "4, 'd'.* inf", id="inf"),
    ],
)
def test_read_prototypes_refuses_when_the_file_is_no_such_tensor(
    bundle: Bundle, tmp_path: Path, content: bytes, message: str
) -> None:
    path, _ = write_prototypes(tmp_path, "cats", VECTORS, ("a", "b", "c", "d"))
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_prototypes(path, bundle)
    assert "cats.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bound", ["_MOST_PROTOTYPES", "_MOST_VALUES"])
def test_read_prototypes_refuses_when_they_are_too_many(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    def never(path: Path) -> None:
        raise AssertionError("numbers were read before their size was checked")

    monkeypatch.setattr(safetensors.numpy, "load_file", never)
    monkeypatch.setattr(prototypes, bound, 3)
    with pytest.raises(InputError, match="4 prototypes of 6 dimensions are not between"):
        read_prototypes("cats", bundle)


def test_read_prototypes_refuses_when_the_file_changes_while_it_is_read(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safetensors.numpy, "load_file", lambda path: {"prototypes": ROWS[:3]})
    with pytest.raises(InputError, match="changed while it was read"):
        read_prototypes("cats", bundle)


# --- writing


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "a b", "x" * 101, "é", "cats.safetensors", "a\n"])
def test_write_prototypes_refuses_when_the_name_is_no_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be named"):
        write_prototypes(tmp_path / "new", name, VECTORS, LABELS)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("vectors", "labels", "message"),
    [
        (VECTORS, LABELS[:3], "3 labels for 4 prototypes"),
        (VECTORS, (*LABELS[:3], ""), "label 4 is empty"),
        (VECTORS, (*LABELS[:3], "a\nb"), "label 4 is empty, has several lines"),
        (VECTORS, (*LABELS[:3], "a\rb"), "label 4 is empty, has several lines"),
        (VECTORS, (*LABELS[:3], "\ud800"), "label 4 .* no Unicode"),
        (VECTORS * 0.0, LABELS, "prototype 1, 'tabby cat', has norm 0"),
        (VECTORS * np.nan, LABELS, "norm nan"),
        (VECTORS[0], LABELS, r"shape \(6,\)"),
        (VECTORS.astype(str), LABELS, "must be numbers"),
        (VECTORS * 1j, LABELS, "must be numbers"),
        (VECTORS[:1], LABELS[:1], "1 prototypes of 6"),
    ],
)
def test_write_prototypes_refuses_when_something_does_not_fit(
    tmp_path: Path, vectors: Any, labels: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=f"cats.*{message}"):
        write_prototypes(tmp_path / "new", "cats", vectors, labels)
    assert not (tmp_path / "new").exists()


def test_write_prototypes_leaves_the_old_pair_when_it_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [path.read_bytes() for path in write_prototypes(tmp_path, "cats", VECTORS, LABELS)]
    original: Callable[..., Any] = Path.open

    def full(path: Path, *arguments: Any, **options: Any) -> Any:
        if "labels" in path.name:
            raise OSError(28, "No space left on device")
        return original(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space"):
        write_prototypes(tmp_path, "cats", VECTORS[::-1], LABELS)
    monkeypatch.undo()
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir(), reverse=True)] == before
