"""Pillow's float resampling is Pillow's kernel, linear, without rounding to integers."""

import pathlib
from typing import Any, get_args

import numpy as np
import pytest
import skimage
from numpy.typing import NDArray
from PIL import Image

from fs_runtime.preprocess.resample import Kernel, resize

PHOTOS = pathlib.Path(skimage.__file__).parent / "data"
SIZES = [(37, 53, 19, 23), (31, 17, 64, 35), (40, 40, 13, 90), (224, 301, 97, 112), (5, 7, 5, 14)]


def _bilinear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 1, 1 - np.abs(x), 0)


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a, x = -0.5, np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


REFERENCE: dict[str, tuple[Any, float]] = {
    "bilinear": (_bilinear, 1.0),
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}


def reference_matrix(source: int, target: int, kernel: str) -> NDArray[np.float64]:
    """Pillow's published algorithm (Resample.c, precompute_coeffs), written anew in float64."""
    function, support = REFERENCE[kernel]
    scale = source / target
    stretch = max(scale, 1.0)
    matrix = np.zeros((target, source))
    for row in range(target):
        center = (row + 0.5) * scale
        first = max(0, int(center - support * stretch + 0.5))
        last = min(source, int(center + support * stretch + 0.5))
        columns = np.arange(first, last)
        weights = function((columns - center + 0.5) / stretch)
        matrix[row, first:last] = weights / weights.sum()
    return matrix


@pytest.mark.parametrize("kernel", sorted(REFERENCE))
@pytest.mark.parametrize(("height", "width", "to_height", "to_width"), SIZES)
def test_resize_equals_float64_kernel_when_image_is_noise(
    kernel: Kernel, height: int, width: int, to_height: int, to_width: int
) -> None:
    pixels = np.random.default_rng(height).random((height, width, 3), np.float32)
    rows, columns = reference_matrix(height, to_height, kernel), reference_matrix(width, to_width, kernel)
    expected = np.einsum("ih,hwc,jw->ijc", rows, pixels.astype(np.float64), columns, optimize=True)
    np.testing.assert_allclose(resize(pixels, to_height, to_width, kernel), expected, rtol=0, atol=1e-6)


def test_resize_equals_float64_kernel_when_image_is_a_photo() -> None:
    pixels = np.asarray(Image.open(PHOTOS / "chelsea.png").convert("RGB"), np.float32) / np.float32(255)
    rows, columns = reference_matrix(300, 256, "bicubic"), reference_matrix(451, 384, "bicubic")
    expected = np.einsum("ih,hwc,jw->ijc", rows, pixels.astype(np.float64), columns, optimize=True)
    np.testing.assert_allclose(resize(pixels, 256, 384, "bicubic"), expected, rtol=0, atol=1e-6)


def test_resize_overshoots_when_kernel_has_negative_lobes() -> None:
    step = np.zeros((8, 8, 3), np.float32)
    step[:, 4:] = 1.0
    resized = resize(step, 16, 16, "bicubic")
    assert resized.min() < -0.01
    assert resized.max() > 1.01


@pytest.mark.parametrize("kernel", get_args(Kernel))
@pytest.mark.parametrize(("to_height", "to_width"), [(20, 31), (90, 101)])
def test_resize_is_linear_when_images_are_combined(kernel: Kernel, to_height: int, to_width: int) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 45, 60, 3)).astype(np.float32)
    a, b = np.float32(0.7), np.float32(-1.9)
    combined = resize(a * x + b * y, to_height, to_width, kernel)
    separate = a * resize(x, to_height, to_width, kernel) + b * resize(y, to_height, to_width, kernel)
    np.testing.assert_allclose(combined, separate, rtol=0, atol=5e-6)


@pytest.mark.parametrize("kernel", get_args(Kernel))
def test_resize_keeps_constants_when_kernel_is_normalised(kernel: Kernel) -> None:
    flat = np.full((33, 47, 3), 0.3, np.float32)
    np.testing.assert_allclose(resize(flat, 21, 80, kernel), 0.3, rtol=1e-6)


def test_resize_copies_exactly_when_size_is_unchanged() -> None:
    pixels = np.random.default_rng(4).random((9, 12, 3), np.float32)
    np.testing.assert_array_equal(resize(pixels, 9, 12, "bicubic"), pixels)


def test_resize_accepts_planes_when_array_is_not_contiguous() -> None:
    pixels = np.random.default_rng(5).random((3, 24, 18), np.float32)
    view = pixels.transpose(1, 2, 0)[::2, ::-1]
    expected = resize(np.ascontiguousarray(view), 7, 7, "bilinear")
    np.testing.assert_array_equal(resize(view, 7, 7, "bilinear"), expected)


def eight_bit(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """What Pillow's 8-bit path does after each of its passes."""
    levels: NDArray[np.float32] = np.floor(np.clip(pixels * 255.0, 0, 255) + 0.5).astype(np.float32)
    return levels / np.float32(255)


@pytest.mark.parametrize("photo", ["chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"])
def test_resize_differs_from_pillow_uint8_only_by_rounding_and_clipping_when_image_is_a_photo(photo: str) -> None:
    image = Image.open(PHOTOS / photo).convert("RGB")
    pixels = np.asarray(image, np.float32) / np.float32(255)
    width, height = (int(256 * side / min(image.size)) for side in image.size)
    expected = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    between = resize(pixels, image.height, width, "bicubic")

    # With the rounding and clipping put back, both paths agree; one level is Pillow's fixed-point weights.
    imitated = eight_bit(resize(eight_bit(between), height, width, "bicubic")) * 255.0
    assert np.abs(imitated - expected).max() <= 1.01
    assert (np.abs(imitated - expected) > 0.5).mean() < 1e-3

    # Without them, results stay within 1.5 levels wherever nothing was clipped between the passes.
    clipped = ((between < -0.5 / 255) | (between > 1 + 0.5 / 255)).astype(np.float32)
    reach = (reference_matrix(image.height, height, "bicubic") != 0).astype(np.float32)
    untouched = np.einsum("ih,hwc->iwc", reach, clipped, optimize=True) == 0
    levels = np.abs(np.clip(resize(pixels, height, width, "bicubic") * 255.0, 0, 255) - expected)
    top, left = (height - 224) // 2, (width - 224) // 2
    window = np.s_[top : top + 224, left : left + 224]
    assert untouched[window].mean() > 0.97
    assert levels[window][untouched[window]].max() <= 1.5
    assert levels[window].max() <= 6.0  # measured: 5.3 on coffee, where the 8-bit path clipped
