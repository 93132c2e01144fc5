"""The operator norm is the norm of the map that is applied."""

import time
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from fs_runtime.preprocess import linear_map
from fs_runtime.preprocess.linear_map import axis_matrix, operator_norm, rounding_error
from fs_runtime.preprocess.resample import Kernel, resize
from fs_runtime.preprocess.rule import CenterCrop, Exact, Geometry, PadSquare, PreprocessRule, ShortestEdge, plan

GREY = PadSquare((0.5, 0.25, 0.125))


def brute_force(geometry: Geometry) -> NDArray[np.float64]:
    """The matrix of padding, resize and crop on one channel, one unit image at a time."""
    height, width = geometry.source
    assert geometry.kernel is not None
    (top, bottom), (left, right) = geometry.kept(0), geometry.kept(1)
    columns = []
    for pixel in range(height * width):
        unit = np.zeros((height * width, 1), np.float32)
        unit[pixel] = 1.0
        padded = np.zeros((*geometry.padded, 1), np.float32)
        (first, last), (start, end) = geometry.placed(0), geometry.placed(1)
        padded[first:last, start:end] = unit.reshape(height, width, 1)
        resized = resize(padded, *geometry.resized, geometry.kernel)
        columns.append(resized[top:bottom, left:right, 0].ravel())
    return np.stack(columns, axis=1).astype(np.float64)


def identity_matrix_resized(source: int, target: int, kernel: Kernel) -> NDArray[np.float32]:
    return resize(np.eye(source, dtype=np.float32)[:, :, np.newaxis], source, target, kernel)[:, :, 0].T


@pytest.mark.parametrize("kernel", get_args(Kernel))
@pytest.mark.parametrize(
    ("source", "target"), [(1, 1), (1, 9), (9, 1), (2, 3), (7, 7), (64, 17), (17, 64), (301, 97), (480, 224), (30, 29)]
)
def test_axis_matrix_equals_resized_identity_when_built_from_combs(kernel: Kernel, source: int, target: int) -> None:
    matrix = axis_matrix(source, target, kernel)
    assert matrix.shape == (target, source)
    assert matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix, identity_matrix_resized(source, target, kernel))


def test_axis_matrix_is_the_same_when_probed_in_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = axis_matrix(500, 60, "lanczos")
    monkeypatch.setattr(linear_map, "_PROBE_FLOATS", 1500)
    np.testing.assert_array_equal(axis_matrix(500, 60, "lanczos"), expected)


@pytest.mark.parametrize("kernel", get_args(Kernel))
@pytest.mark.parametrize(
    "rule",
    [
        lambda k: PreprocessRule(Exact(7, 9, k)),
        lambda k: PreprocessRule(Exact(25, 31, k)),
        lambda k: PreprocessRule(ShortestEdge(10, k), CenterCrop(8, 8)),
        lambda k: PreprocessRule(ShortestEdge(10, k), CenterCrop(14, 9)),
        lambda k: PreprocessRule(ShortestEdge(24, k), CenterCrop(5, 20)),
        lambda k: PreprocessRule(Exact(7, 7, k), pad=GREY),
        lambda k: PreprocessRule(ShortestEdge(23, k), CenterCrop(21, 5), GREY),
    ],
)
def test_operator_norm_equals_svd_norm_when_matrix_is_brute_force(kernel: Kernel, rule: object) -> None:
    geometry = plan(rule(kernel), 13, 17)  # type: ignore[operator]
    expected = np.linalg.norm(brute_force(geometry), 2)
    assert expected <= operator_norm(geometry) * (1 + 1e-12)
    assert operator_norm(geometry) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("kernel", "per_axis"), [("bicubic", 1.4153), ("bilinear", 1.4142), ("lanczos", 1.4448), ("nearest", 1.4142)]
)
def test_operator_norm_exceeds_one_when_image_is_doubled(kernel: Kernel, per_axis: float) -> None:
    geometry = plan(PreprocessRule(Exact(224, 224, kernel)), 112, 112)
    assert operator_norm(geometry) == pytest.approx(per_axis**2, abs=3e-4)


@pytest.mark.parametrize(("height", "width"), [(112, 130), (300, 451), (200, 90)])
def test_operator_norm_bounds_the_change_when_image_is_perturbed(height: int, width: int) -> None:
    geometry = plan(PreprocessRule(ShortestEdge(128, "bicubic"), CenterCrop(112, 112)), height, width)
    (top, bottom), (left, right) = geometry.kept(0), geometry.kept(1)
    rng = np.random.default_rng(0)
    for smooth in (False, True):
        delta = rng.standard_normal((height, width, 3)).astype(np.float32)
        if smooth:  # the direction that resampling passes on best
            delta = resize(resize(delta, 6, 6, "bicubic"), height, width, "bicubic")
        moved = resize(delta, *geometry.resized, "bicubic")[top:bottom, left:right]
        assert np.linalg.norm(moved) <= operator_norm(geometry) * np.linalg.norm(delta)


@pytest.mark.parametrize(("source", "target"), [(300, 100), (100, 300), (150, 149)])
def test_operator_norm_is_the_same_when_gram_is_summed_in_blocks(
    source: int, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    axis = linear_map._probe(source, target, "lanczos")
    whole = linear_map._spectral_norm(axis)
    monkeypatch.setattr(linear_map, "_BLOCK", 37)
    assert linear_map._spectral_norm(axis) == pytest.approx(whole, rel=1e-12)
    assert whole == pytest.approx(np.linalg.norm(axis_matrix(source, target, "lanczos"), 2), rel=1e-9)


def test_operator_norm_stays_an_upper_bound_when_both_sides_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = np.linalg.norm(axis_matrix(90, 101, "bicubic"), 2)
    monkeypatch.setattr(linear_map, "_BLOCK", 50)
    linear_map._axis_norms.cache_clear()
    schur = linear_map._axis_norms(90, 101, "bicubic", (0, 101), (0, 90)).spectral
    linear_map._axis_norms.cache_clear()
    assert exact <= schur <= 1.3 * exact


def test_operator_norm_is_one_when_nothing_is_resized() -> None:
    assert operator_norm(plan(PreprocessRule(crop=CenterCrop(5, 50)), 20, 20)) == 1.0
    assert operator_norm(plan(PreprocessRule(Exact(20, 20, "bicubic")), 20, 20)) == 1.0
    assert rounding_error(plan(PreprocessRule(crop=CenterCrop(5, 50)), 20, 20)) == 0.0


def test_operator_norm_is_one_when_the_image_is_only_padded() -> None:
    for rule in (PreprocessRule(pad=GREY), PreprocessRule(Exact(30, 30, "bicubic"), pad=GREY)):
        assert operator_norm(plan(rule, 20, 30)) == 1.0
        assert rounding_error(plan(rule, 20, 30)) == 0.0


def test_operator_norm_is_smaller_when_only_part_of_the_square_is_the_image() -> None:
    rule = PreprocessRule(Exact(30, 30, "bicubic"), pad=GREY)
    strip, square = operator_norm(plan(rule, 2, 100)), operator_norm(plan(rule, 100, 100))
    assert strip < 0.9 * square


def test_operator_norm_is_fast_when_source_is_16384_wide() -> None:
    rule = PreprocessRule(ShortestEdge(256, "lanczos"), CenterCrop(224, 224))
    began = time.perf_counter()
    assert 0 < operator_norm(plan(rule, 3906, 16384)) < 1
    assert time.perf_counter() - began < 2.0  # 0.1 s on two quiet cores


@pytest.mark.parametrize("kernel", get_args(Kernel))
def test_rounding_error_is_that_of_the_square_when_padded(kernel: Kernel) -> None:
    padded = plan(PreprocessRule(Exact(96, 96, kernel), pad=GREY), 20, 100)
    assert rounding_error(padded) == rounding_error(plan(PreprocessRule(Exact(96, 96, kernel)), 100, 100))


@pytest.mark.parametrize("kernel", get_args(Kernel))
@pytest.mark.parametrize(("height", "width"), [(60, 71), (300, 190)])
def test_rounding_error_bounds_the_distance_to_the_float64_map(kernel: Kernel, height: int, width: int) -> None:
    geometry = plan(PreprocessRule(Exact(96, 112, kernel)), height, width)
    x = np.random.default_rng(1).random((height, width, 3), np.float32)
    rows, columns = axis_matrix(height, 96, kernel), axis_matrix(width, 112, kernel)
    exact = np.einsum("ih,hwc,jw->ijc", rows, x.astype(np.float64), columns, optimize=True)
    distance = np.linalg.norm(resize(x, 96, 112, kernel) - exact)
    # The probed matrices carry one more rounding of each weight, on each axis.
    assert distance <= 2 * rounding_error(geometry)
    assert rounding_error(geometry) < 1e-4
