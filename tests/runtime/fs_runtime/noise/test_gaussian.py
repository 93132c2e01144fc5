"""Box-Muller on the grid, against the formula in the docstring computed one number at a time."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from fs_runtime.grid import GRID_STEP, to_grid
from fs_runtime.noise import LARGEST_SIGMA, GridNoise, Stream
from fs_runtime.noise.philox import DrawWords

Integers = npt.NDArray[np.int64]
SIGMAS = [0.05, 0.1, 0.25, 0.5]
CHUNK = 1 << 17


def make(
    sigma: float, size: int, *, dtype: type | None = None, draw: int = 0, seed: int = 11
) -> npt.NDArray[np.float32]:
    out = np.full(size, np.nan, np.float32)
    GridNoise(sigma, size, dtype).fill(out, seed, Stream.CERTIFY, draw)
    return out


def in_steps(noise: npt.NDArray[np.float32]) -> Integers:
    """Noise as numbers of grid steps; fails where a value is not on the grid."""
    steps = noise.astype(np.float64) / GRID_STEP
    assert np.array_equal(steps, np.rint(steps))
    return steps.astype(np.int64)


def reference(sigma: float, size: int, words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """sigma * value / h + 1/2, straight from the docstring; its floor is k."""
    cosines, sines = [], []
    for word in words.tolist():
        low, high = word & 0xFFFFFFFF, word >> 32
        signed = high - (1 << 32) if high >= 1 << 31 else high
        radius = math.sqrt(-2.0 * math.log((low + 1) / 2.0**32)) * sigma / GRID_STEP
        phi = math.pi * signed / 2.0**31
        cosines.append(radius * math.cos(phi) + 0.5)
        sines.append(radius * math.sin(phi) + 0.5)
    return np.array((cosines + sines)[:size])


def assert_exact(steps: Integers, expected: npt.NDArray[np.float64]) -> None:
    """Equal, unless the exact value lies within 1e-6 of where the floor jumps: there two libm may differ by a step."""
    wrong = steps != np.floor(expected)
    assert np.all(np.abs(expected - np.rint(expected))[wrong] < 1e-6)
    assert np.all(np.abs(steps - np.floor(expected)) <= 1)
    assert wrong.mean() < 1e-3


@pytest.mark.parametrize("sigma", [1e-3, *SIGMAS, 1.0, LARGEST_SIGMA])
def test_fill_equals_reference_when_computed_in_float64(sigma: float) -> None:
    size = 20_000
    words = DrawWords(11, Stream.CERTIFY, 0).take(size // 2)
    assert_exact(in_steps(make(sigma, size, dtype=np.float64)), reference(sigma, size, words))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_fill_stays_within_a_step_of_reference_when_computed_in_float32(sigma: float) -> None:
    size = 60_000
    words = DrawWords(11, Stream.CERTIFY, 0).take(size // 2)
    gap = in_steps(make(sigma, size, dtype=np.float32)) - np.floor(reference(sigma, size, words))
    assert np.abs(gap).max() <= 1
    # Most values agree exactly: float32 is coarser than a step nowhere.
    assert (gap != 0).mean() < 0.05


@pytest.mark.parametrize("sigma", SIGMAS)
def test_fill_stays_within_a_step_of_float64_when_computed_in_float32_many_times(sigma: float) -> None:
    size = 2_000_000
    gap = in_steps(make(sigma, size, dtype=np.float32)) - in_steps(make(sigma, size, dtype=np.float64))
    assert np.abs(gap).max() == 1


@pytest.mark.parametrize(
    ("sigma", "dtype"), [(0.05, np.float32), (0.5, np.float32), (0.5001, np.float64), (2.0, np.float64)]
)
def test_fill_uses_the_precision_free_of_bias_when_none_is_asked_for(sigma: float, dtype: type) -> None:
    other = np.float64 if dtype is np.float32 else np.float32
    noise = make(sigma, 50_000)
    np.testing.assert_array_equal(noise, make(sigma, 50_000, dtype=dtype))
    assert not np.array_equal(noise, make(sigma, 50_000, dtype=other))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 3 * 5 * 7, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 2 * CHUNK + 3])
def test_fill_follows_the_documented_order_when_size_is_odd_or_spans_chunks(size: int) -> None:
    pairs = (size + 1) // 2
    noise = make(0.7, size)
    assert not np.isnan(noise).any()
    words = DrawWords(11, Stream.CERTIFY, 0).take(pairs)
    expected = reference(0.7, 2 * pairs, words)[:size]
    assert_exact(in_steps(noise), expected)


def test_fill_writes_only_its_row_when_given_a_view() -> None:
    rows = np.full((3, 101), np.nan, np.float32)
    GridNoise(0.1, 101).fill(rows[1], 11, Stream.CERTIFY, 0)
    np.testing.assert_array_equal(rows[1], make(0.1, 101))
    assert np.isnan(rows[[0, 2]]).all()


def test_fill_gives_the_same_draw_when_scratch_space_was_used_before() -> None:
    noise = GridNoise(0.25, 5_001)
    rows = [np.empty(5_001, np.float32) for _ in range(3)]
    for row, draw in zip(rows, (4, 9, 4), strict=True):
        noise.fill(row, 11, Stream.CERTIFY, draw)
    np.testing.assert_array_equal(rows[0], rows[2])
    np.testing.assert_array_equal(rows[1], make(0.25, 5_001, draw=9))
    assert not np.array_equal(rows[0], rows[1])


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, LARGEST_SIGMA])
def test_fill_adds_exactly_to_a_grid_image_when_added_in_float32(sigma: float) -> None:
    noise = make(sigma, 600_000)
    image = to_grid(np.random.default_rng(0).random(noise.size))
    assert noise.dtype == image.dtype == np.float32
    total = image + noise
    assert total.dtype == np.float32
    np.testing.assert_array_equal(in_steps(total), in_steps(image) + in_steps(noise))


def crafted(low: list[int], high: list[int]) -> npt.NDArray[np.uint64]:
    return np.array([h << 32 | l for l, h in zip(low, high, strict=True)], np.uint64)  # noqa: E741


def fill_from(
    monkeypatch: pytest.MonkeyPatch, words: npt.NDArray[np.uint64], sigma: float, dtype: type
) -> npt.NDArray[np.float32]:
    """The noise of a draw whose words are ``words``."""
    monkeypatch.setattr(DrawWords, "take", lambda self, count: words[:count])
    return make(sigma, 2 * len(words), dtype=dtype)


PRECISIONS = [pytest.param(np.float32, 0.5, id="float32"), pytest.param(np.float64, 2.0, id="float64")]
QUARTERS = [0, 1 << 30, 1 << 31, 3 << 30]  # phi = 0, pi / 2, -pi, -pi / 2


@pytest.mark.parametrize(("dtype", "sigma"), PRECISIONS)
def test_fill_gives_zero_when_the_uniform_is_one(monkeypatch: pytest.MonkeyPatch, dtype: type, sigma: float) -> None:
    noise = fill_from(monkeypatch, crafted([2**32 - 1] * 4, QUARTERS), sigma, dtype)
    np.testing.assert_array_equal(noise, np.zeros(8))


@pytest.mark.parametrize(("dtype", "sigma"), PRECISIONS)
def test_fill_gives_the_smallest_radius_when_the_uniform_is_next_to_one(
    monkeypatch: pytest.MonkeyPatch, dtype: type, sigma: float
) -> None:
    noise = fill_from(monkeypatch, crafted([2**32 - 2] * 4, QUARTERS), sigma, dtype)
    # r = sqrt(-2 ln(1 - 2^-32)) = 2^-15.5, to eleven digits: 11.31 steps at sigma 0.5, 45.25 at sigma 2.
    k = math.floor(sigma * 2.0**-15.5 / GRID_STEP + 0.5)
    assert k == {0.5: 11, 2.0: 45}[sigma]
    np.testing.assert_array_equal(in_steps(noise), [k, 0, -k, 0, 0, k, 0, -k])


@pytest.mark.parametrize(("dtype", "sigma"), PRECISIONS)
def test_fill_gives_the_largest_radius_when_the_uniform_is_smallest(
    monkeypatch: pytest.MonkeyPatch, dtype: type, sigma: float
) -> None:
    noise = fill_from(monkeypatch, crafted([0] * 4, QUARTERS), sigma, dtype)
    largest = sigma * math.sqrt(64.0 * math.log(2.0)) / GRID_STEP  # sqrt(-2 ln 2^-32) = 6.66
    steps = in_steps(noise)
    expected = np.array([largest, 0, -largest, 0, 0, largest, 0, -largest])
    assert np.abs(steps - np.floor(expected + 0.5)).max() <= 1
    # The far end of the tail is where float32 could lose the grid: |x + noise| stays below 16, and the sum exact.
    for image in (np.float32(0.0), np.float32(1.0), np.float32(1.0 - GRID_STEP)):
        total = noise + image
        assert np.abs(total).max() < 16.0
        np.testing.assert_array_equal(in_steps(total), steps + in_steps(np.full(8, image)))


@pytest.mark.parametrize(("dtype", "sigma"), PRECISIONS)
def test_fill_stays_within_a_step_of_reference_when_uniforms_are_extreme(
    monkeypatch: pytest.MonkeyPatch, dtype: type, sigma: float
) -> None:
    near_one = [2**32 - 1 - (1 << j) + d for j in range(1, 31) for d in (-1, 0, 1)]
    # 1 - 2^-10 is where the code changes from one formula to the other.
    border = [2**32 - 1 - 2**22 + d for d in range(-2_000, 2_001)]
    small = [(1 << j) + d for j in range(1, 31) for d in (-1, 0, 1)]
    low = near_one + border + small
    high = np.random.default_rng(1).integers(0, 1 << 32, len(low)).tolist()
    words = crafted(low, high)
    steps = in_steps(fill_from(monkeypatch, words, sigma, dtype))
    expected = reference(sigma, 2 * len(words), words)
    assert np.abs(steps - np.floor(expected)).max() <= 1
    if dtype is np.float64:
        assert_exact(steps, expected)


@pytest.mark.parametrize("sigma", [0.0, -0.1, math.nextafter(LARGEST_SIGMA, 3.0), 3.0, math.inf, math.nan])
def test_grid_noise_raises_value_error_when_sigma_is_out_of_range(sigma: float) -> None:
    with pytest.raises(ValueError, match=r"sigma must lie in \(0, 2\.0\], not"):
        GridNoise(sigma, 8)
