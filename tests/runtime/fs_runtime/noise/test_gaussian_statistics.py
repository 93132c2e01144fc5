"""The noise is normal, independent, and gives no hint in the parity of k. Bars follow from the number of values."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from helpers.noise_statistics import RARE, NoiseStatistics
from scipy import special, stats

from fs_runtime.grid import GRID_STEP
from fs_runtime.noise import GridNoise, Stream

Integers = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]

SIZE = 1_500_000
DRAWS = 4
FIVE_SIGMA = 5.0

SIGMAS = [0.1, 0.25, 0.5, 1.0]
"""The last one takes the float64 path, the others float32."""


def steps_of(sigma: float, stream: Stream = Stream.CERTIFY, first: int = 0, draws: int = DRAWS) -> Integers:
    """[draws, SIZE] noise in grid steps."""
    noise = GridNoise(sigma, SIZE)
    row = np.empty(SIZE, np.float32)
    steps = np.empty((draws, SIZE), np.int32)
    for draw in range(draws):
        noise.fill(row, 2024, stream, first + draw)
        steps[draw] = row / np.float32(GRID_STEP)  # exact: a power of two
    return steps


@pytest.fixture(scope="module", params=SIGMAS)
def sample(request: pytest.FixtureRequest) -> tuple[float, Integers]:
    """Sigma, and 6,000,000 values in grid steps."""
    sigma: float = request.param
    return sigma, steps_of(sigma)


@pytest.fixture(scope="module")
def values(sample: tuple[float, Integers]) -> Values:
    """The same in units of sigma."""
    sigma, steps = sample
    return steps.astype(np.float64) * (GRID_STEP / sigma)


def correlation_z(first: Values, second: Values) -> float:
    """Standardised correlation of two standard normal arrays: their product has mean 0 and variance 1."""
    return float(np.vdot(first, second)) / math.sqrt(first.size)


def squares_z(first: Values, second: Values) -> float:
    """The same for their squares, (x^2 - 1) / sqrt(2)."""
    return correlation_z(np.square(first) - 1.0, np.square(second) - 1.0) / 2.0


# --- the law of one value


def test_noise_has_normal_moments_when_measured_over_six_million_values(values: Values) -> None:
    x = values.ravel()
    n = x.size
    assert n >= 5_000_000
    square = x * x
    scores = {
        "mean": x.mean() * np.sqrt(n),
        "variance": (square.mean() - 1.0) / np.sqrt(2.0 / n),
        # E x^6 = 15, E x^8 = 105: Var x^3 = 15, and Var x^4 = 96.
        "skewness": (square * x).mean() / np.sqrt(15.0 / n),
        "kurtosis": ((square * square).mean() - 3.0) / np.sqrt(96.0 / n),
    }
    assert {name: z for name, z in scores.items() if not abs(z) < FIVE_SIGMA} == {}


@pytest.mark.parametrize("beyond", [2.0, 3.0, 4.0, 5.0])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_noise_has_normal_tails_when_counted_beyond(values: Values, beyond: float, side: float) -> None:
    count = int((side * values > beyond).sum())
    assert stats.binomtest(count, values.size, float(special.ndtr(-beyond))).pvalue > RARE


def test_noise_passes_kolmogorov_smirnov_when_compared_with_the_normal_law(values: Values) -> None:
    assert stats.kstest(values.ravel(), special.ndtr, method="asymp").pvalue > RARE


# --- independence


def test_noise_is_uncorrelated_when_cosine_and_sine_share_a_word(values: Values) -> None:
    half = SIZE // 2
    cosines, sines = values[:, :half], values[:, half:]
    assert abs(correlation_z(cosines, sines)) < FIVE_SIGMA
    assert abs(squares_z(cosines, sines)) < FIVE_SIGMA


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8])
def test_noise_is_uncorrelated_when_values_are_neighbours(values: Values, lag: int) -> None:
    assert abs(correlation_z(values[:, :-lag], values[:, lag:])) < FIVE_SIGMA
    assert abs(squares_z(values[:, :-lag], values[:, lag:])) < FIVE_SIGMA


@pytest.mark.parametrize("apart", [1, 2, 3])
def test_noise_is_uncorrelated_when_draws_are_neighbours(values: Values, apart: int) -> None:
    assert abs(correlation_z(values[:-apart], values[apart:])) < FIVE_SIGMA
    assert abs(squares_z(values[:-apart], values[apart:])) < FIVE_SIGMA


@pytest.mark.parametrize(("one", "other"), [(Stream.PILOT, Stream.CERTIFY), (Stream.CERTIFY, Stream.SMOOTH)])
def test_noise_is_uncorrelated_when_streams_differ(one: Stream, other: Stream) -> None:
    first, second = (steps_of(0.25, stream, draws=1).astype(np.float64) * (GRID_STEP / 0.25) for stream in (one, other))
    assert abs(correlation_z(first, second)) < FIVE_SIGMA
    assert abs(squares_z(first, second)) < FIVE_SIGMA


# --- the parity of k: with a bias there, an encoder that reads the lowest bit of x + noise breaks the bound


def residue_p_values(steps: npt.NDArray[np.integer], sigma: float, modulus: int) -> dict[str, float]:
    """For ranges of |k|, the chi-square p-value of k mod ``modulus`` against its exact law."""
    statistics = NoiseStatistics(sigma)
    statistics.add(steps)
    return statistics.residue_p_values(modulus)


@pytest.mark.parametrize("modulus", [2, 4])
def test_noise_has_unbiased_low_bits_when_k_is_grouped_by_magnitude(
    sample: tuple[float, Integers], modulus: int
) -> None:
    sigma, steps = sample
    p_values = residue_p_values(steps, sigma, modulus)
    assert {name: p for name, p in p_values.items() if not p > RARE} == {}


def test_parity_check_catches_the_bias_when_float32_noise_is_rounded_half_even() -> None:
    # What section 8 forbids: at sigma 0.5 float32 holds quarters of a step, and a tie goes to the even neighbour.
    normal = np.random.default_rng(5).standard_normal(4 * SIZE, dtype=np.float32)
    steps = np.rint(normal * np.float32(0.5 / GRID_STEP)).astype(np.int32)
    p_values = residue_p_values(steps, 0.5, 2)
    assert p_values["beyond 3 sigma"] < RARE


def test_parity_check_catches_the_bias_when_float32_is_used_beyond_its_range() -> None:
    steps = np.empty((DRAWS, SIZE), np.int32)
    noise = GridNoise(2.0, SIZE, np.float32)
    row = np.empty(SIZE, np.float32)
    for draw in range(DRAWS):
        noise.fill(row, 2024, Stream.CERTIFY, draw)
        steps[draw] = row / np.float32(GRID_STEP)
    assert residue_p_values(steps, 2.0, 2)["beyond 4 sigma"] < RARE


@pytest.mark.parametrize("even", [0.505, 0.51])
def test_parity_check_catches_the_bias_when_even_is_a_little_likelier(even: float) -> None:
    steps = steps_of(0.25).ravel()
    moved = np.random.default_rng(6).random(steps.size) < 2.0 * even - 1.0
    steps[moved] -= steps[moved] % 2
    assert residue_p_values(steps, 0.25, 2)["all"] < RARE


def test_residue_check_catches_the_bias_when_only_the_second_bit_is_uneven() -> None:
    steps = steps_of(0.25).ravel()
    moved = np.random.default_rng(7).random(steps.size) < 0.01
    steps[moved] ^= steps[moved] & 2
    assert residue_p_values(steps, 0.25, 2)["all"] > RARE
    assert residue_p_values(steps, 0.25, 4)["all"] < RARE
