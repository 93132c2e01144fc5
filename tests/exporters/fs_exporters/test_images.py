"""Bundles whose noise batches mix images: the same numbers as one image at a time, at every precision and tap."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import tiny_huggingface, tiny_torch

import fs_runtime
from fs_exporters.pipeline import export_bundle
from fs_runtime.backends import Block, BlockResult, find_backend
from fs_runtime.bundle import read_bundle
from fs_runtime.errors import InputError

SETTINGS: dict[str, Any] = {"sigma": 0.25, "noise_batch": 6, "threads": 1}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    with tiny_torch.registered():
        for tap in ("pooled", "tokens"):
            for images in (1, 3):
                output = folder / f"{tap}{images}"
                export_bundle(tiny_torch.MODEL, output=output, tap=tap, images=images, **SETTINGS)  # type: ignore[arg-type]
    return folder


def run(root: Path, block: Block) -> BlockResult:
    bundle = read_bundle(root)
    with find_backend("onnxruntime")(bundle, bundle.graph("smoothed"), device="cpu", threads=1) as backend:
        return backend.run(block)


def block_of(images: int, index: list[int], dimension: int, side: int = 8) -> Block:
    rng = np.random.default_rng(0)
    reference = rng.standard_normal((3, dimension))
    return Block(
        pixel_values=rng.random((3, 3, side, side)).astype(np.float32)[:images],
        noise=(0.25 * rng.standard_normal((6, 3, side, side))).astype(np.float32),
        reference=(reference / np.linalg.norm(reference, axis=1, keepdims=True)).astype(np.float32)[:images],
        image_index=np.array(index, np.int64),
    )


def of_image(block: Block, image: int) -> Block:
    rows = slice(image, image + 1)
    return Block(block.pixel_values[rows], block.noise, block.reference[rows], np.zeros(6, np.int64))


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_graph_gives_what_each_image_gives_alone_when_draws_are_mixed(bundles: Path, tap: str) -> None:
    index = [2, 0, 0, 1, 2, 2]
    block = block_of(3, index, 6)
    mixed = run(bundles / f"{tap}3", block)
    alone = [run(bundles / f"{tap}1", of_image(block, image)) for image in range(3)]
    for draw, image in enumerate(index):
        assert mixed.cosine[draw] == pytest.approx(alone[image].cosine[draw], abs=2e-6)
        assert mixed.raw_norm[draw] == pytest.approx(alone[image].raw_norm[draw], rel=2e-6)
    if tap == "pooled":
        assert mixed.features is not None
        expected: npt.NDArray[Any] = np.zeros((3, 6))
        for draw, image in enumerate(index):
            features = alone[image].features
            assert features is not None
            np.testing.assert_allclose(mixed.features[draw], features[draw], atol=2e-6)
            expected[image] += features[draw]
        np.testing.assert_allclose(mixed.feature_sum, expected, atol=1e-5)
    assert mixed.feature_sum.shape == (3, 6)


def test_graph_keeps_an_images_numbers_when_another_image_changes(bundles: Path) -> None:
    block = block_of(3, [0, 1, 0, 1, 2, 2], 6)
    other = block.pixel_values.copy()
    other[1] = 1.0 - other[1]
    before = run(bundles / "pooled3", block)
    after = run(bundles / "pooled3", Block(other, block.noise, block.reference, block.image_index))
    own = block.image_index != 1
    np.testing.assert_array_equal(before.cosine[own], after.cosine[own])
    np.testing.assert_array_equal(before.feature_sum[[0, 2]], after.feature_sum[[0, 2]])
    assert not np.allclose(before.cosine[~own], after.cosine[~own], atol=1e-4)


def test_manifest_states_the_images_and_the_graph_has_an_index(bundles: Path) -> None:
    manifest = read_bundle(bundles / "pooled3").manifest
    assert manifest.images == 3
    names = [tensor.name for tensor in manifest.graphs[0].inputs]
    assert names == ["pixel_values", "noise", "reference", "image_index"]
    assert read_bundle(bundles / "pooled1").manifest.images == 1


def test_certify_many_equals_one_image_at_a_time_when_the_bundle_mixes_images(bundles: Path) -> None:
    images = [np.random.default_rng(seed).random((8, 8, 3)) for seed in range(4)]
    settings: dict[str, Any] = {"draws": 100, "alpha": 0.01, "pilot": 12, "seed": 1}
    with fs_runtime.load(bundles / "pooled1", threads=1) as encoder:
        alone = [encoder.certify(image, **settings) for image in images]
    with fs_runtime.load(bundles / "pooled3", threads=1) as encoder:
        mixed = [result.certificate for result in encoder.certify_many(images, **settings)]
    for first, second in zip(alone, mixed, strict=True):
        assert second is not None
        assert second.angle(0.05) == pytest.approx(first.angle(0.05), abs=1e-4)


def test_export_mixes_images_when_the_encoder_is_half(tmp_path: Path) -> None:
    model = tiny_huggingface.save("vit", tmp_path / "vit")
    result = export_bundle(
        str(model), sigma=0.1, noise_batch=4, images=2, precision="fp16", threads=1, output=tmp_path / "bundle"
    )
    parity = result.manifest.parity[0]
    assert parity.smallest_cosine > 0.999
    with fs_runtime.load(tmp_path / "bundle", threads=1) as encoder:
        images = [np.random.default_rng(seed).random((40, 40, 3)) for seed in range(3)]
        results = list(encoder.certify_many(images, draws=100, alpha=0.01))
    assert all(result.certificate is not None for result in results)


@pytest.mark.parametrize("images", [0, 7, 65])
def test_export_refuses_when_a_batch_cannot_mix_so_many_images(tmp_path: Path, images: int) -> None:
    with tiny_torch.registered(), pytest.raises(InputError, match=r"--images must lie in 1\.\.6"):
        export_bundle(tiny_torch.MODEL, output=tmp_path / "bundle", images=images, **SETTINGS)
    assert not (tmp_path / "bundle").exists()
