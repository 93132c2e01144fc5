"""The prototypes that an encoder offers, as files of a bundle (docs/bundle-format.md)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fs_models.encoders import OfferedPrototypes
from fs_runtime.bundle.prototypes import FOLDER, write_prototypes

_HEADER_BYTES = 100


def add_prototypes(folder: Path, offered: Mapping[str, OfferedPrototypes], *, dimension: int) -> tuple[Path, ...]:
    """Write prototypes into the bundle ``folder``.

    Args:
        folder: of the bundle.
        offered: by name.
        dimension: D, of the bundle's features.

    Returns:
        The files: vectors, labels and, where there is one, the notice that the labels come with.

    Raises:
        RuntimeError: the encoder offers prototypes of another dimension than its features.
    """
    paths: list[Path] = []
    for name, prototypes in offered.items():
        vectors = prototypes.vectors.numpy(force=True).astype(np.float32)
        if vectors.shape[1] != dimension:
            raise RuntimeError(f"prototypes {name!r} have {vectors.shape[1]} dimensions, the features {dimension}")
        paths += write_prototypes(folder / FOLDER, name, vectors, prototypes.labels)
        if prototypes.notice:
            paths.append(folder / _notice(name))
            paths[-1].write_text(prototypes.notice, "utf-8")
    return tuple(paths)


def planned_prototypes(offered: Mapping[str, OfferedPrototypes]) -> dict[str, int]:
    """Path in the bundle and approximate bytes of what :func:`add_prototypes` would write."""
    files: dict[str, int] = {}
    for name, prototypes in offered.items():
        files[f"{FOLDER}/{name}.safetensors"] = 4 * prototypes.vectors.numel() + _HEADER_BYTES
        files[f"{FOLDER}/{name}.labels.txt"] = sum(len(label.encode()) + 1 for label in prototypes.labels)
        if prototypes.notice:
            files[_notice(name)] = len(prototypes.notice.encode())
    return files


def _notice(name: str) -> str:
    return f"{FOLDER}/{name}.notice.txt"
