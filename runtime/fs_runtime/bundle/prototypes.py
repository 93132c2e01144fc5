"""Prototypes: the unit vectors that labels stand for, and their files (docs/bundle-format.md).

``NAME.safetensors`` holds one float32 tensor ``prototypes`` [C, D]; ``NAME.labels.txt`` beside it holds C lines in
UTF-8, one label a line. A bundle keeps such pairs in ``prototypes/``.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from fs_runtime.bundle.files import locate
from fs_runtime.bundle.manifest import Manifest
from fs_runtime.bundle.reader import Bundle
from fs_runtime.errors import BundleError, InputError
from fs_runtime.files import write_together

Float32 = npt.NDArray[np.float32]

FOLDER = "prototypes"
_KEY = "prototypes"
_VECTORS, _LABELS = ".safetensors", ".labels.txt"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_PROTOTYPES = 1 << 20
_MOST_VALUES = 1 << 29
"""4 GiB in float64."""
_MOST_LABEL_BYTES = 1 << 26
_LONGEST_LABEL = 1024
_MOST_NUMBERS = 1 << 22
# A header says of each tensor where it lies; more than this is no header of one tensor.
_MOST_HEADER = 1 << 16


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Unit vectors and the labels that they stand for.

    Labels are names to read: a label is its place, and two prototypes of the same name are two labels.

    Attributes:
        name: of the set: in a bundle, or the file's.
        vectors: [C, D] unit rows, float64.
        labels: [C] names.
        sha256: of the float32 numbers [C, D] that the rows were normalised from, little-endian.
    """

    name: str
    vectors: npt.NDArray[np.float64] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    sha256: str

    @classmethod
    def made_of(cls, name: str, vectors: npt.ArrayLike, labels: Sequence[str]) -> "Prototypes":
        """Prototypes from rows [C, D] of any length: the very ones that :func:`write_prototypes` would store.

        Raises:
            InputError: rows that are zero or not finite, labels that do not fit; naming ``name``.
        """
        stored = _stored(name, vectors, labels)
        return cls(name, _unit_rows(stored, labels, name), tuple(labels), _sha256(stored))

    @cached_property
    def dimension(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        """C."""
        return len(self.labels)


def prototype_names(manifest: Manifest) -> tuple[str, ...]:
    """The names of the prototypes in a bundle, sorted."""
    paths = (PurePosixPath(path) for path in manifest.files)
    names = (path.name.removesuffix(_VECTORS) for path in paths if path.parent.as_posix() == FOLDER)
    return tuple(sorted(name for name in names if f"{FOLDER}/{name}{_VECTORS}" in manifest.files))


def only_prototypes(bundle: Bundle) -> str:
    """The name of a bundle's prototypes, where it has one set.

    Raises:
        BundleError: it has none, or several.
    """
    names = prototype_names(bundle.manifest)
    if len(names) != 1:
        has = (
            f"has several sets of prototypes, {', '.join(names)}: name one with --prototypes"
            if names
            else (
                "has no prototypes: name a file of them that ends in .safetensors, or export it with --labels, "
                "--prototypes-from or --gallery"
            )
        )
        raise BundleError(f"{bundle.root} {has}")
    return names[0]


def read_prototypes(source: str | Path, bundle: Bundle) -> Prototypes:
    """The prototypes called ``source`` in a bundle, or those of a file.

    Args:
        source: a name in the bundle, or the path of a file that ends in ``.safetensors``.
        bundle: whose features they are for.

    Raises:
        BundleError: the bundle has none of that name.
        InputError: files that are missing, damaged, too large, or of another dimension than the bundle's features.
    """
    if is_prototype_file(source):
        return read_prototype_file(source, bundle.manifest.dimension)
    return _opened(*_inside(bundle, str(source)), bundle.manifest.dimension)


def is_prototype_file(source: str | Path) -> bool:
    """Whether ``source`` means a file, not a name in a bundle."""
    return isinstance(source, Path) or source.endswith(_VECTORS)


def read_prototype_file(source: str | Path, dimension: int) -> Prototypes:
    """The prototypes of a file that ends in ``.safetensors``, for features of ``dimension`` numbers.

    Raises:
        InputError: files that are missing, damaged, too large, or of another dimension.
    """
    path = Path(source)
    if not path.name.endswith(_VECTORS):
        raise InputError(f"{path} does not end in {_VECTORS}: name such a file, or prototypes of the bundle")
    return _opened(path, path.with_name(path.name.removesuffix(_VECTORS) + _LABELS), dimension)


def _opened(path: Path, beside: Path, dimension: int) -> Prototypes:
    try:
        return _read(path, beside, dimension)
    except OSError as error:
        raise InputError(
            f"{error.filename or path} cannot be read ({error.strerror or error}): prototypes are a pair of files, "
            f"NAME{_VECTORS} and NAME{_LABELS}"
        ) from error


def write_prototypes(folder: str | Path, name: str, vectors: npt.ArrayLike, labels: Sequence[str]) -> tuple[Path, Path]:
    """Write prototypes as ``folder/NAME.safetensors`` and ``folder/NAME.labels.txt``; both appear whole or not at all.

    Args:
        folder: in a bundle the folder :data:`FOLDER` of it; made where it is missing.
        name: letters, digits, ``.``, ``_`` and ``-``.
        vectors: [C, D] rows of any length, which are stored as unit rows in float32.
        labels: [C] names.

    Returns:
        The two files.

    Raises:
        InputError: rows that are zero or not finite, labels or a name that do not fit.
        OSError: a file cannot be written.
    """
    check_name(name)
    stored = _stored(name, vectors, labels)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}{_VECTORS}", folder / f"{name}{_LABELS}"
    lines = "".join(f"{label}\n" for label in labels)
    write_together({paths[0]: safetensors.numpy.save({_KEY: stored}), paths[1]: lines.encode()})
    return paths


def check_name(name: str) -> None:
    """Refuse what no set of prototypes can be called.

    Raises:
        InputError: the name holds other characters, or is too long.
    """
    if not _NAME.fullmatch(name) or name.endswith(_VECTORS):
        raise InputError(
            f"prototypes cannot be named {name!r}: use up to 100 letters, digits, '.', '_' and '-', beginning with a "
            "letter or digit"
        )


def _inside(bundle: Bundle, name: str) -> tuple[Path, Path]:
    known = prototype_names(bundle.manifest)
    if name not in known:
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise BundleError(
            f"{bundle.root} has no prototypes named {name!r} ({has}): name others, or a file that ends in {_VECTORS}"
        )
    labels = f"{FOLDER}/{name}{_LABELS}"
    if labels not in bundle.manifest.files:
        raise BundleError(f"{bundle.root} lacks {labels}, the labels of its prototypes: export it again")
    return locate(bundle.root, f"{FOLDER}/{name}{_VECTORS}"), locate(bundle.root, labels)


def _read(path: Path, beside: Path, dimension: int) -> Prototypes:
    shape = _shape(path)
    if shape[1] != dimension:
        raise InputError(
            f"{path} holds prototypes of {shape[1]} dimensions, but the encoder's features have {dimension}: "
            "hand in prototypes made with the same encoder"
        )
    size = beside.stat().st_size
    if size > _MOST_LABEL_BYTES:
        raise InputError(f"{beside} has {size} bytes, too many for labels: one short line each")
    try:
        text = beside.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{beside} is not text in UTF-8 ({error}): save it so, one label a line") from error
    # No splitlines: it would also split at characters that a name may hold.
    labels = tuple(line.removesuffix("\r") for line in text.removeprefix("\ufeff").removesuffix("\n").split("\n"))
    _check_labels(labels, shape[0], str(beside))
    try:
        stored = safetensors.numpy.load_file(path)[_KEY]
    except (KeyError, safetensors.SafetensorError) as error:
        raise _damaged(path, error) from error
    if stored.shape != shape:
        raise _damaged(path, "it changed while it was read")
    vectors = _unit_rows(stored, labels, str(path))
    return Prototypes(path.name.removesuffix(_VECTORS), vectors, labels, _sha256(stored))


def _shape(path: Path) -> tuple[int, int]:
    """C and D, before the numbers are read; nothing else may be in the file."""
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > _MOST_HEADER:
        raise _damaged(path, "its header is too long")
    try:
        with safetensors.safe_open(path, framework="numpy") as opened:
            keys = list(opened.keys())
            if keys != [_KEY]:
                raise InputError(f"{path} must hold one tensor, named {_KEY!r}, not {keys[:5]}: save it so")
            tensor = opened.get_slice(_KEY)
            shape, kind = tuple(tensor.get_shape()), str(tensor.get_dtype())
    except safetensors.SafetensorError as error:
        raise _damaged(path, error) from error
    if kind != "F32" or len(shape) != 2:
        raise InputError(f"{path} holds {kind} of shape {shape}: save prototypes as float32 [C, D]")
    _check_size(shape, str(path))
    return int(shape[0]), int(shape[1])


def _damaged(path: Path, error: object) -> InputError:
    return InputError(f"{path} cannot be read as prototypes ({error}): save them as a .safetensors file")


def _check_size(shape: tuple[int, ...], name: str) -> None:
    count, dimension = shape
    if not 2 <= count <= _MOST_PROTOTYPES or dimension < 1 or count * dimension > _MOST_VALUES:
        raise InputError(
            f"{name}: {count} prototypes of {dimension} dimensions are not between 2 and {_MOST_PROTOTYPES}, with at "
            f"most {_MOST_VALUES} numbers together: hand in others"
        )


def _check_labels(labels: Sequence[str], count: int, name: str) -> None:
    if len(labels) != count:
        raise InputError(f"{name}: {len(labels)} labels for {count} prototypes: give each one, in their order")
    for number, label in enumerate(labels, start=1):
        if not _is_name(label):
            raise InputError(
                f"{name}: label {number} is empty, has several lines, more than {_LONGEST_LABEL} characters or some "
                "that are no Unicode: give it a short name"
            )


def _is_name(label: str) -> bool:
    try:
        label.encode()
    except UnicodeEncodeError:
        return False
    return bool(label.strip()) and len(label) <= _LONGEST_LABEL and "\n" not in label and "\r" not in label


def _stored(name: str, vectors: npt.ArrayLike, labels: Sequence[str]) -> Float32:
    """What is kept of rows [C, D] of any length: unit rows in float32."""
    rows = np.asarray(vectors)
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise InputError(f"{name}: prototypes must be numbers [C, D], not {rows.dtype} of shape {rows.shape}")
    _check_size(rows.shape, name)
    _check_labels(labels, len(rows), name)
    return _unit_rows(rows, labels, name).astype("<f4")


def _unit_rows(rows: npt.NDArray[Any], labels: Sequence[str], name: str) -> npt.NDArray[np.float64]:
    vectors = np.array(rows, dtype=np.float64)
    block = max(1, _MOST_NUMBERS // vectors.shape[1])
    for start in range(0, len(vectors), block):
        part = vectors[start : start + block]
        norms = np.linalg.norm(part, axis=1)
        wrong = ~(np.isfinite(norms) & (norms > 0.0))
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(
                f"{name}: prototype {start + row + 1}, {labels[start + row]!r}, has norm {norms[row]}, so it points "
                "nowhere: leave it out or mend it"
            )
        part /= norms[:, None]
    return vectors


def _sha256(stored: Float32) -> str:
    return hashlib.sha256(np.ascontiguousarray(stored, dtype="<f4").view(np.uint8).data).hexdigest()
