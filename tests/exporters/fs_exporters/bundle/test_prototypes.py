"""Prototypes in a bundle: what is written, what is planned, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny import edit_manifest, write_bundle

from fs_exporters.bundle import add_prototypes, planned_prototypes
from fs_models.encoders import OfferedPrototypes
from fs_runtime.bundle import read_bundle
from fs_runtime.bundle.files import digest
from fs_runtime.bundle.prototypes import read_prototypes

VECTORS = torch.tensor([[3.0, 0, 0, 0, 0, 4.0], [0, 2.0, 0, 0, 0, 0], [1.0, 1, 1, 1, 1, 1]])
OFFERED = OfferedPrototypes(VECTORS, ("left", "Rückseite", "left"), "Made up.\n")
FILES = ["prototypes/corners.safetensors", "prototypes/corners.labels.txt", "prototypes/corners.notice.txt"]


def test_add_prototypes_writes_what_the_runtime_reads_when_they_are_offered(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "bundle")
    paths = add_prototypes(root, {"corners": OFFERED}, dimension=6)
    assert [path.relative_to(root).as_posix() for path in paths] == FILES
    assert paths[2].read_text("utf-8") == "Made up.\n"
    stated = {
        name: {"sha256": digest([path]), "bytes": path.stat().st_size} for name, path in zip(FILES, paths, strict=True)
    }
    edit_manifest(root, lambda manifest: manifest["files"].update(stated))
    read = read_prototypes("corners", read_bundle(root))
    assert read.labels == OFFERED.labels
    unit = VECTORS.double().numpy()
    np.testing.assert_allclose(read.vectors, unit / np.linalg.norm(unit, axis=1, keepdims=True), atol=1e-7)


def test_add_prototypes_writes_no_notice_when_there_is_none(tmp_path: Path) -> None:
    paths = add_prototypes(tmp_path, {"corners": OfferedPrototypes(VECTORS, OFFERED.labels)}, dimension=6)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == FILES[:2]
    assert len(list((tmp_path / "prototypes").iterdir())) == 2


def test_add_prototypes_writes_nothing_when_none_are_offered(tmp_path: Path) -> None:
    assert add_prototypes(tmp_path, {}, dimension=6) == ()
    assert list(tmp_path.iterdir()) == []


def test_add_prototypes_raises_when_the_dimension_is_not_the_features(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="prototypes 'corners' have 6 dimensions, the features 12"):
        add_prototypes(tmp_path, {"corners": OFFERED}, dimension=12)
    assert list(tmp_path.iterdir()) == []


def test_planned_prototypes_are_those_written_when_they_are(tmp_path: Path) -> None:
    offered = {"corners": OFFERED, "bare": OfferedPrototypes(VECTORS, OFFERED.labels)}
    paths = add_prototypes(tmp_path, offered, dimension=6)
    planned = planned_prototypes(offered)
    assert list(planned) == [path.relative_to(tmp_path).as_posix() for path in paths]
    for path in paths:
        size = planned[path.relative_to(tmp_path).as_posix()]
        assert abs(size - path.stat().st_size) <= (50 if path.suffix == ".safetensors" else 0)
