"""The kernel compiled for this machine's processor, against the CPU's stream. It uses nothing but IEEE operations, so a
GPU computes the same bits; that it does is checked where there is one (test_device_noise.py)."""

import numpy as np
import numpy.typing as npt
import pytest
from helpers.grid_noise_host import COMPILER, NO_COMPILER, HostNoise, host_noise_of, host_polar, host_words
from helpers.noise_statistics import RARE, NoiseStatistics

from fs_runtime.grid import GRID_STEP
from fs_runtime.noise import GridNoise, Stream
from fs_runtime.noise.philox import DrawWords

pytestmark = pytest.mark.skipif(COMPILER is None, reason=NO_COMPILER)

Float32 = npt.NDArray[np.float32]
SIGMAS = [0.01, 0.1, 0.25, 0.5, 0.5001, 1.0, 2.0]
SEED = 0x0123456789ABCDEF_FEDCBA9876543210
LAST = (1 << 64) - 1


def cpu_noise(sigma: float, size: int, dtype: type | None = None, draw: int = 3) -> Float32:
    row = np.empty(size, np.float32)
    GridNoise(sigma, size, dtype).fill(row, SEED, Stream.CERTIFY, draw)
    return row


def kernel_noise(sigma: float, size: int, draw: int = 3) -> Float32:
    row = np.full(size, np.nan, np.float32)
    HostNoise(sigma, size).fill(row, SEED, Stream.CERTIFY, draw)
    return row


def in_steps(noise: Float32) -> npt.NDArray[np.int64]:
    steps = noise.astype(np.float64) / GRID_STEP
    assert np.array_equal(steps, np.rint(steps))
    return steps.astype(np.int64)


# ---- words


@pytest.mark.parametrize("seed", [0, 1, LAST, LAST + 1, (1 << 128) - 1, SEED])
@pytest.mark.parametrize(
    ("stream", "draw"),
    [(Stream.PILOT, 0), (Stream.CERTIFY, 1), (Stream.SMOOTH, LAST), (Stream.CERTIFY, 1 << 63), (Stream.PILOT, 12_345)],
)
def test_words_equal_the_cpus_when_addressed_anywhere(seed: int, stream: Stream, draw: int) -> None:
    np.testing.assert_array_equal(host_words(seed, stream, draw, 1_000), DrawWords(seed, stream, draw).take(1_000))


# ---- values


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("draw", [0, LAST])
def test_noise_is_the_cpus_to_one_step_when_its_own_precision_is_used(sigma: float, draw: int) -> None:
    gap = in_steps(kernel_noise(sigma, 300_000, draw)) - in_steps(cpu_noise(sigma, 300_000, draw=draw))
    assert np.abs(gap).max() <= 1
    # Up to 0.5 the CPU computes in float32 and is itself a step off in one value out of thirty.
    assert (gap != 0).mean() < (0.05 if sigma <= 0.5 else 1e-3)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_noise_is_float64s_to_one_step_in_a_thousand_when_compared_with_it(sigma: float) -> None:
    gap = in_steps(kernel_noise(sigma, 1_000_000)) - in_steps(cpu_noise(sigma, 1_000_000, np.float64))
    assert np.abs(gap).max() <= 1
    assert (gap != 0).mean() < 1e-3
    # As often a step too many as one too few: a fair coin's excess stays below five standard deviations.
    assert abs(gap.sum()) <= 5.0 * np.sqrt((gap != 0).sum())


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 105, 1_023, 1_024, 1_025, 4_099, 3 * 224 * 224])
def test_noise_follows_the_documented_order_when_size_is_odd_or_even(size: int) -> None:
    noise = kernel_noise(1.0, size)
    assert not np.isnan(noise).any()
    gap = in_steps(noise) - in_steps(cpu_noise(1.0, size))
    assert np.abs(gap).max() <= 1
    assert (gap != 0).sum() <= 2 + 1e-3 * size


@pytest.mark.parametrize("size", [8, 64, 101, 104])
@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4])
def test_noise_stays_within_its_row_when_the_row_starts_anywhere(size: int, offset: int) -> None:
    # From 16-byte boundaries the kernel stores four values at once, from others one by one.
    memory = np.full(size + 12, np.nan, np.float32)
    start = -(memory.ctypes.data // 4) % 4 + offset
    HostNoise(1.0, size).fill(memory[start : start + size], SEED, Stream.CERTIFY, 3)
    np.testing.assert_array_equal(memory[start : start + size], kernel_noise(1.0, size))
    assert np.isnan(memory[:start]).all()
    assert np.isnan(memory[start + size :]).all()


# ---- Box-Muller at its ends


def crafted() -> npt.NDArray[np.uint64]:
    """Words whose uniforms are near 0, near 1, and near where the kernel changes from one formula to another."""
    near_one = [(1 << 32) - 1 - (1 << j) + d for j in range(1, 31) for d in (-1, 0, 1)]
    small = [(1 << j) + d for j in range(1, 32) for d in (-2, -1, 0, 1)]
    halves = [(0xB504F333 >> j) + d for j in range(30) for d in range(-3, 4)]
    ends = [*range(2_000), *((1 << 32) - 1 - j for j in range(2_000))]
    low = np.array(near_one + small + halves + ends, np.int64) % (1 << 32)
    corners = [((q << 29) + d) % (1 << 32) for q in range(8) for d in (-2, -1, 0, 1, 2)]
    high = np.random.default_rng(1).integers(0, 1 << 32, low.size)
    high[: len(corners)] = corners
    return high.astype(np.uint64) << np.uint64(32) | low.astype(np.uint64)


def exact_polar(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    low = (words & np.uint64(0xFFFFFFFF)).astype(np.float64)
    angle = np.pi * (words >> np.uint64(32)).astype(np.uint32).view(np.int32) / 2.0**31
    return np.stack([np.sqrt(-2.0 * np.log1p((low + 1.0 - 2.0**32) / 2.0**32)), np.cos(angle), np.sin(angle)], axis=1)


def test_polar_form_is_good_to_28_bits_when_uniforms_are_extreme_or_ordinary() -> None:
    ordinary = np.random.default_rng(2).integers(0, 1 << 64, 500_000, np.uint64)
    words = np.concatenate([crafted(), ordinary])
    made, exact = host_polar(words), exact_polar(words)
    inside = exact[:, 0] > 0.0
    assert np.all(made[~inside, 0] == 0.0)
    assert np.abs(made[inside, 0] / exact[inside, 0] - 1.0).max() < 2.0**-28
    assert np.abs(made[:, 1:] - exact[:, 1:]).max() < 2.0**-28


@pytest.mark.parametrize("sigma", SIGMAS)
def test_noise_stays_within_a_step_when_uniforms_are_extreme(sigma: float) -> None:
    words = crafted()
    length, cosine, sine = exact_polar(words).T
    expected = np.floor(np.concatenate([length * cosine, length * sine]) * (sigma / GRID_STEP) + 0.5)
    noise = host_noise_of(words, sigma)
    assert np.abs(in_steps(noise) - expected).max() <= 1
    for image in (np.float32(0.0), np.float32(1.0), np.float32(1.0 - GRID_STEP)):
        total = noise + image
        assert np.abs(total).max() < 16.0
        np.testing.assert_array_equal(in_steps(total), in_steps(noise) + round(float(image) / GRID_STEP))


def test_noise_is_zero_when_the_uniform_is_one() -> None:
    words = np.array([(q << 62) | 0xFFFFFFFF for q in range(4)], np.uint64)
    np.testing.assert_array_equal(host_noise_of(words, 2.0), np.zeros(8, np.float32))


# ---- the law of the values; the same checks for 10^8 values: benchmarks/noise_moments.py


@pytest.fixture(scope="module", params=[0.1, 0.5, 1.0, 2.0])
def statistics(request: pytest.FixtureRequest) -> NoiseStatistics:
    """Of 3,000,000 values."""
    found = NoiseStatistics(request.param)
    for draw in range(2):
        found.add(in_steps(kernel_noise(request.param, 1_500_000, draw)))
    return found


def test_noise_has_normal_moments_and_tails_when_measured(statistics: NoiseStatistics) -> None:
    assert {name: z for name, z in statistics.moment_scores().items() if not abs(z) < 5.0} == {}
    assert {name: p for name, p in statistics.tail_p_values().items() if not p > RARE} == {}


@pytest.mark.parametrize("modulus", [2, 4])
def test_noise_has_unbiased_low_bits_when_k_is_grouped_by_magnitude(statistics: NoiseStatistics, modulus: int) -> None:
    assert {name: p for name, p in statistics.residue_p_values(modulus).items() if not p > RARE} == {}
