"""Counts in sentences."""

import pytest

from fs_runtime.plural import count


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1024, "1,024 images")]
)
def test_count_takes_the_plural_when_there_is_not_one(number: int, expected: str) -> None:
    assert count(number, "image") == expected
