"""Seeds: fresh ones are 128 bits of entropy, a caller's is marked and checked."""

import dataclasses

import pytest

from fs_runtime.errors import InputError
from fs_runtime.noise import Seed


def test_make_gives_different_seeds_when_no_value_is_given() -> None:
    seeds = {Seed.make(None).value for _ in range(1_000)}
    assert len(seeds) == 1_000


def test_make_gives_128_bits_when_no_value_is_given() -> None:
    values = [Seed.make(None).value for _ in range(400)]
    assert all(0 <= value < 1 << 128 for value in values)
    # Each bit is set in 400 fair tosses between 132 and 268 times, but for a chance of 128 * 1e-11.
    for bit in range(128):
        assert 132 <= sum(value >> bit & 1 for value in values) <= 268


def test_make_labels_source_os_entropy_when_no_value_is_given() -> None:
    assert Seed.make(None).source == "os-entropy"


@pytest.mark.parametrize("value", [0, 1, 1 << 64, (1 << 128) - 1])
def test_make_keeps_value_and_labels_source_caller_when_value_is_given(value: int) -> None:
    assert Seed.make(value) == Seed(value, "caller")


@pytest.mark.parametrize("value", [-1, 1 << 128, 1 << 200])
def test_make_raises_input_error_when_value_is_out_of_range(value: int) -> None:
    with pytest.raises(InputError, match=r"seed must lie in \[0, 2\^128\), not " + str(value)):
        Seed.make(value)


def test_seed_is_immutable_when_made() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Seed.make(3).value = 4  # type: ignore[misc]
