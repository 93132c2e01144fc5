"""Bounds as text: what is shown is never more than what is proved."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

_STEP = Decimal("0.001")


def rounded_down(bound: float) -> str:
    """Three decimals of a lower bound."""
    # Exact: a product with 1000.0 may round up to a whole number.
    return str(Decimal(bound).quantize(_STEP, ROUND_FLOOR))


def rounded_up(bound: float) -> str:
    """Three decimals of an upper bound."""
    return str(Decimal(bound).quantize(_STEP, ROUND_CEILING))
