"""Bounds as text: what is shown is never more than what is proved."""

import math


def rounded_down(bound: float) -> str:
    """Three decimals of a lower bound."""
    return f"{math.floor(bound * 1000.0) / 1000.0:.3f}"


def rounded_up(bound: float) -> str:
    """Three decimals of an upper bound."""
    return f"{math.ceil(bound * 1000.0) / 1000.0:.3f}"
