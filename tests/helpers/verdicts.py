"""When a simulation has shown that something fails more often than it promises."""

from scipy import stats

SMALLEST_P_VALUE = 1e-6
"""A line whose violations are less probable than this, at a failure rate of alpha, is a failure."""


def p_value_of(violations: int, runs: int, alpha: float) -> float:
    """Probability of as many violations, or more, in ``runs`` that each fail with probability alpha (exact)."""
    return float(stats.binomtest(violations, runs, alpha, alternative="greater").pvalue)
