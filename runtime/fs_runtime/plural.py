"""Counts in sentences."""


def count(number: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``1,024 draws``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
