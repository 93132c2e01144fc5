"""Bounds as text."""

import math

from fs_runtime.rounding import rounded_down, rounded_up


def test_rounded_down_never_says_more_when_the_next_decimal_is_large() -> None:
    assert rounded_down(0.98899) == "0.988"
    assert rounded_down(-0.0001) == "-0.001"
    assert rounded_down(math.nextafter(0.009, 0.0)) == "0.008"
    assert rounded_down(0.0) == "0.000"


def test_rounded_up_never_says_less_when_the_next_decimal_is_small() -> None:
    assert rounded_up(0.98801) == "0.989"
