"""Sums of many fp32 numbers that are right to the last digits, in whatever order they are added.

Engines have no fp64: TensorRT takes a cast to it for a cast to fp32, without a word. So a long sum is made of sums of
whole numbers, which are exact in any order as long as none exceeds 2^24. Only multiplications by powers of two, Round
and subtractions that are exact anyway are used, so neither fused multiply-adds nor another order can spoil it
(docs/theory.md section 8.4).
"""

import torch

LARGEST_MASS = 2.0
"""Of the sum of the terms' absolute values; beyond it the whole numbers could exceed 2^24."""

_FIRST_BITS = 22
_EXACT_BITS = 24  # fp32 holds every whole number up to 2^24
_NEGLIGIBLE = 2.0**-26


def exact_sum(terms: torch.Tensor) -> torch.Tensor:
    """Sum over the last dimension.

    Args:
        terms: fp32 [..., D], the sum of whose absolute values is at most ``LARGEST_MASS``.

    Returns:
        [...] the sum, off by at most 2^-24 of itself and 2^-24.
    """
    length = terms.shape[-1]
    unit = 2.0**-_FIRST_BITS
    rest = terms * 2.0**_FIRST_BITS
    parts = []
    for bits in piece_bits(length):
        whole = torch.round(rest)
        parts.append(whole.sum(-1) * unit)
        rest = (rest - whole) * 2.0**bits
        unit *= 2.0**-bits
    total = rest.sum(-1) * unit
    for part in reversed(parts):
        total = total + part
    return total


def piece_bits(length: int) -> tuple[int, ...]:
    """By how many bits what is left is magnified after each sum of whole numbers; one sum for each.

    What is left is at most 1/2 in every term, so that many bits keep the next whole numbers' sum within 2^24. The sums
    end where an ordinary one over the rest cannot be off by more than 2^-26.
    """
    bits = _EXACT_BITS + 1 - max(1, (length - 1).bit_length())
    made, unit = [0], 2.0**-_FIRST_BITS
    # length / 2 bounds the rest's sum, and length * 2^-24 the relative error of adding it in the worst order.
    while 0.5 * length * unit * length * 2.0**-_EXACT_BITS > _NEGLIGIBLE:
        made[-1] = bits
        made.append(0)
        unit *= 2.0**-bits
    return tuple(made)
