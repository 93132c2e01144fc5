"""Bounds as text: what is shown is never more than what is proved."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


def rounded_down(bound: float, decimals: int = 3) -> str:
    """A lower bound with so many decimals."""
    return _rounded(bound, decimals, ROUND_FLOOR)


def rounded_up(bound: float, decimals: int = 3) -> str:
    """An upper bound with so many decimals."""
    return _rounded(bound, decimals, ROUND_CEILING)


def _rounded(bound: float, decimals: int, way: str) -> str:
    # Exact: a product with 1000.0 may round to a whole number.
    return str(Decimal(bound).quantize(Decimal(1).scaleb(-decimals), way))
