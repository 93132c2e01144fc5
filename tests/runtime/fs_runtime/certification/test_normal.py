"""The normal law against SciPy's, in both tails."""

import math

import numpy as np
import pytest
from scipy import special

from fs_runtime.certification.normal import cdf, quantile, shifted


def test_cdf_equals_scipy_when_far_in_either_tail() -> None:
    x = np.concatenate([np.linspace(-37.0, 8.0, 901), [-1e-12, 0.0, 1e-12]])
    np.testing.assert_allclose([cdf(float(value)) for value in x], special.ndtr(x), rtol=1e-13)


def test_cdf_is_zero_or_one_when_infinite() -> None:
    assert (cdf(-math.inf), cdf(math.inf)) == (0.0, 1.0)


def test_quantile_equals_scipy_when_probabilities_are_tiny_or_near_one() -> None:
    p = np.concatenate([10.0 ** np.linspace(-300, -0.31, 500), 1.0 - 10.0 ** np.linspace(-15, -0.31, 200)])
    np.testing.assert_allclose([quantile(float(value)) for value in p], special.ndtri(p), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("p", "expected"), [(0.0, -math.inf), (1.0, math.inf), (0.5, 0.0)])
def test_quantile_is_exact_when_at_the_ends_or_the_middle(p: float, expected: float) -> None:
    assert quantile(p) == expected


@pytest.mark.parametrize("shift", [0.0, 0.25, 1.0, 3.0])
def test_shifted_equals_scipy_when_probabilities_span_the_unit_interval(shift: float) -> None:
    p = np.array([1e-300, 1e-12, 1e-5, 0.01, 0.3, 0.5, 0.9, 1.0 - 1e-9])
    np.testing.assert_allclose(shifted(p, shift), special.ndtr(special.ndtri(p) + shift), rtol=1e-11)


def test_shifted_keeps_certain_events_when_shift_is_any() -> None:
    np.testing.assert_array_equal(shifted(np.array([0.0, 1.0]), 2.0), [0.0, 1.0])


def test_shifted_is_one_when_shift_is_infinite() -> None:
    np.testing.assert_array_equal(shifted(np.array([1e-9, 0.5, 1.0]), math.inf), [1.0, 1.0, 1.0])
