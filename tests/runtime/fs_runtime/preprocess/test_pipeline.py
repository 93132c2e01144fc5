"""From an image to pixel_values on the grid."""

import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import skimage
from PIL import Image

from fs_runtime.errors import ImageError
from fs_runtime.grid import GRID_STEP, to_grid
from fs_runtime.preprocess import CenterCrop, Exact, PadSquare, PreprocessRule, ShortestEdge, prepare, resize

PHOTOS = pathlib.Path(skimage.__file__).parent / "data"
RULE = PreprocessRule(ShortestEdge(256, "bicubic"), CenterCrop(224, 224))


def test_prepare_is_close_to_pillow_uint8_when_image_is_a_photo() -> None:
    # Other photos differ more at single pixels, where Pillow clips between passes: see test_resample.
    image = Image.open(PHOTOS / "chelsea.png").convert("RGB")
    short = min(image.size)
    width, height = (int(256 * side / short) for side in image.size)
    left, top = (width - 224) // 2, (height - 224) // 2
    expected = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224))
    prepared = prepare(PHOTOS / "chelsea.png", RULE)
    levels = prepared.pixel_values[0].transpose(1, 2, 0) * 255.0 - np.asarray(expected, np.float64)
    assert np.abs(levels).max() <= 1.5


def test_prepare_gives_contiguous_grid_values_when_image_is_a_photo() -> None:
    prepared = prepare(PHOTOS / "chelsea.png", RULE)
    pixels = prepared.pixel_values
    assert pixels.shape == (1, 3, 224, 224)
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    assert pixels.min() >= 0.0
    assert pixels.max() <= 1.0
    index = pixels.astype(np.float64) / GRID_STEP
    np.testing.assert_array_equal(index, np.round(index))
    assert (prepared.height, prepared.width) == (300, 451)
    assert prepared.name == str(PHOTOS / "chelsea.png")
    assert 0 < prepared.operator_norm < 1
    assert 0 < prepared.resampling_error < 1e-4


def test_prepare_clips_exactly_when_the_kernel_overshoots() -> None:
    step = np.zeros((8, 8, 3), np.uint8)
    step[:, 4:] = 255
    pixels = prepare(step, PreprocessRule(Exact(16, 16, "lanczos"))).pixel_values
    assert pixels.min() == 0.0
    assert pixels.max() == 1.0


def test_prepare_reports_the_grid_distance_when_pixels_are_off_grid() -> None:
    image = np.random.default_rng(0).random((20, 30, 3))
    stored = image.astype(np.float32)
    prepared = prepare(image, PreprocessRule())
    nearest = np.round(stored.astype(np.float64) * 2**20) / 2**20
    assert prepared.grid_distance == pytest.approx(float(np.sqrt(((stored - nearest) ** 2).sum())), rel=1e-9)
    assert 0 < prepared.grid_distance <= GRID_STEP / 2 * np.sqrt(stored.size)
    np.testing.assert_array_equal(prepared.pixel_values[0].transpose(1, 2, 0), to_grid(stored))


def test_prepare_reports_no_grid_distance_when_pixels_are_on_grid() -> None:
    image = to_grid(np.random.default_rng(0).random((20, 30, 3), np.float32))
    prepared = prepare(image, PreprocessRule())
    assert prepared.grid_distance == 0.0
    assert prepared.resampling_error == 2.0**-25 * math.sqrt(image.size)  # of decoding alone
    assert prepared.operator_norm == 1.0


def test_prepare_pads_with_zeros_when_the_crop_exceeds_the_image() -> None:
    image = np.full((3, 6, 3), 255, np.uint8)
    pixels = prepare(image, PreprocessRule(crop=CenterCrop(6, 4))).pixel_values[0, 0]
    np.testing.assert_array_equal(pixels[:, 0], [0, 0, 1, 1, 1, 0])
    assert pixels.shape == (6, 4)


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(4, 7, (1, 5), (0, 7)), (7, 4, (0, 7), (1, 5))])
def test_prepare_puts_the_image_on_a_square_ground_when_it_pads(
    height: int, width: int, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    image = np.random.default_rng(6).integers(0, 256, (height, width, 3), np.uint8)
    pixels = prepare(image, PreprocessRule(pad=PadSquare((0.25, 0.5, 1.0)))).pixel_values[0].transpose(1, 2, 0)
    expected = np.tile(np.array([0.25, 0.5, 1.0]), (7, 7, 1))
    expected[slice(*rows), slice(*columns)] = image / 255.0
    np.testing.assert_allclose(pixels, expected, atol=GRID_STEP)


def test_prepare_pads_before_it_resizes_and_crops_when_the_rule_has_all() -> None:
    image = np.random.default_rng(7).random((30, 60, 3), np.float32)
    square = np.full((60, 60, 3), 0.5, np.float32)
    square[15:45] = image
    expected = to_grid(np.clip(resize(square, 40, 40, "bicubic")[4:36, 4:36], 0, 1))
    rule = PreprocessRule(ShortestEdge(40, "bicubic"), CenterCrop(32, 32), PadSquare((0.5, 0.5, 0.5)))
    np.testing.assert_array_equal(prepare(image, rule).pixel_values[0].transpose(1, 2, 0), expected)


def test_prepare_crops_the_right_pixels_when_sizes_are_odd() -> None:
    image = np.random.default_rng(2).integers(0, 256, (9, 12, 3), np.uint8)
    pixels = prepare(image, PreprocessRule(crop=CenterCrop(4, 5))).pixel_values[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(pixels, to_grid(image[2:6, 3:8] / np.float32(255)))


def test_prepare_resizes_then_crops_when_the_rule_has_both() -> None:
    image = np.random.default_rng(3).random((60, 90, 3), np.float32)
    expected = to_grid(np.clip(resize(image, 40, 60, "bicubic")[4:36, 14:46], 0, 1))
    pixels = prepare(image, PreprocessRule(ShortestEdge(40, "bicubic"), CenterCrop(32, 32))).pixel_values
    np.testing.assert_array_equal(pixels[0].transpose(1, 2, 0), expected)


def test_prepare_agrees_when_the_same_pixels_come_in_three_ways(tmp_path: pathlib.Path) -> None:
    array = np.random.default_rng(4).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(array).save(tmp_path / "image.png")
    rule = PreprocessRule(Exact(32, 32, "bicubic"))
    ways = [prepare(image, rule) for image in (array, Image.fromarray(array), tmp_path / "image.png")]
    for prepared in ways[1:]:
        np.testing.assert_array_equal(prepared.pixel_values, ways[0].pixel_values)
        assert prepared.sha256 == ways[0].sha256


@pytest.mark.parametrize("pad", [None, PadSquare((0.1, 0.2, 0.3))])
def test_prepare_moves_no_farther_than_the_norm_allows_when_image_is_perturbed(pad: PadSquare | None) -> None:
    rng = np.random.default_rng(5)
    image = rng.random((100, 140, 3)).astype(np.float32)
    rule = PreprocessRule(ShortestEdge(128, "bicubic"), CenterCrop(112, 112), pad)
    before = prepare(image, rule)
    for scale in (1e-3, 1e-1):
        attacked = np.clip(image + np.float32(scale) * rng.standard_normal(image.shape, np.float32), 0, 1)
        after = prepare(attacked, rule)
        moved = np.linalg.norm(after.pixel_values.astype(np.float64) - before.pixel_values)
        allowed = before.operator_norm * np.linalg.norm(attacked.astype(np.float64) - image)
        slack = 2 * before.resampling_error + before.grid_distance + after.grid_distance
        assert moved <= allowed + slack


def test_prepare_names_the_file_when_it_does_not_suit_the_rule(tmp_path: pathlib.Path) -> None:
    Image.new("RGB", (2000, 1)).save(tmp_path / "strip.png")
    with pytest.raises(ImageError, match=r"strip\.png"):
        prepare(tmp_path / "strip.png", RULE)


def test_prepare_passes_on_the_pixel_limit_when_it_is_given() -> None:
    with pytest.raises(ImageError, match="max_pixels"):
        prepare(np.zeros((10, 10, 3), np.uint8), RULE, max_pixels=99)


def test_preprocess_loads_nothing_heavy_when_imported() -> None:
    code = (
        "import sys, fs_runtime.preprocess; "
        "heavy = {'torch', 'onnxruntime', 'click', 'rich', 'scipy', 'safetensors', 'tensorrt'}; "
        "print(*(heavy & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == []
