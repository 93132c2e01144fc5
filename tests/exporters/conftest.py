"""Tiny bundles that several tests look at; whoever changes one copies it first."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers import tiny_huggingface, tiny_photos, tiny_torch
from helpers.exporting import operators_read_once

from fs_exporters.pipeline import ExportResult, export_bundle


@pytest.fixture(autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """Threads waiting for one another take longer than so tiny a network."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _operators_read_once() -> Iterator[None]:
    with operators_read_once():
        yield


@pytest.fixture(autouse=True)
def _tiny_family() -> Iterator[None]:
    with tiny_torch.registered():
        yield


def _export(folder: Path, tap: str, *, noise_batch: int = 3, images: int = 1) -> ExportResult:
    with tiny_torch.registered():
        return export_bundle(
            tiny_torch.MODEL,
            sigma=0.25,
            noise_batch=noise_batch,
            images=images,
            output=folder / "bundle",
            tap=tap,
            threads=1,  # type: ignore[arg-type]
        )


@pytest.fixture(scope="session")
def pooled_export(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    return _export(tmp_path_factory.mktemp("pooled"), "pooled")


@pytest.fixture(scope="session")
def tokens_export(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    return _export(tmp_path_factory.mktemp("tokens"), "tokens")


@pytest.fixture(scope="session")
def mixed_export(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """Five draws of two images."""
    return _export(tmp_path_factory.mktemp("mixed"), "pooled", noise_batch=5, images=2)


@pytest.fixture(scope="session")
def mixed_tokens_export(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    return _export(tmp_path_factory.mktemp("mixed_tokens"), "tokens", noise_batch=5, images=2)


@pytest.fixture(scope="session")
def vit_export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ExportResult]:
    """A tiny ViT in the precision that is asked for, exported once; int8 by 18 photos."""
    folder = tmp_path_factory.mktemp("vit")
    model = tiny_huggingface.save("vit", folder / "model")

    @cache
    def export(precision: str) -> ExportResult:
        return export_bundle(
            str(model),
            sigma=0.1,
            noise_batch=4,
            output=folder / precision,
            precision=precision,  # type: ignore[arg-type]
            calibration=tiny_photos.save(folder / "photos", 18) if precision == "int8" else None,
            threads=1,
        )

    return export
