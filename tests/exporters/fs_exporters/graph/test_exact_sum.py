"""Sums in fp32 that are right in whatever order an engine adds."""

import math

import numpy as np
import pytest
import torch

from fs_exporters.graph.exact_sum import LARGEST_MASS, exact_sum, piece_bits

ULP = 2.0**-24
LENGTHS = (1, 6, 768, 150_528)


def _terms(kind: str, length: int) -> np.ndarray:
    """fp32 [2, length] whose absolute values add up to about one."""
    drawn = np.random.default_rng(length).standard_normal((2, length))
    shaped = {
        "normal": drawn,
        "positive": np.abs(drawn),
        "spread over many magnitudes": np.exp(8.0 * drawn),
        "all equal": np.ones_like(drawn),
        "one outlier": np.where(np.arange(length) == 0, 50.0, 1e-3 * drawn),
    }[kind]
    return (shaped / np.abs(shaped).sum(axis=1, keepdims=True)).astype(np.float32)


def _one_after_the_other(tensor: torch.Tensor, dim: int) -> torch.Tensor:
    """The worst order there is for rounding."""
    assert dim == -1
    return torch.from_numpy(np.cumsum(tensor.numpy(), axis=-1, dtype=np.float32)[..., -1])


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["normal", "positive", "spread over many magnitudes", "all equal", "one outlier"])
@pytest.mark.parametrize("order", ["torch's", "one after the other"])
def test_exact_sum_is_right_to_the_last_digits_when_added_in_any_order(
    kind: str, length: int, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = _terms(kind, length)
    exact = np.array([math.fsum(row.tolist()) for row in terms])
    if order != "torch's":
        monkeypatch.setattr(torch.Tensor, "sum", _one_after_the_other)
    found = exact_sum(torch.from_numpy(terms)).numpy().astype(np.float64)
    assert np.abs(found - exact).max() <= ULP * (1.0 + np.abs(exact).max())


def test_an_ordinary_sum_is_wrong_when_it_is_long() -> None:
    terms = _terms("all equal", 150_528)
    exact = math.fsum(terms[0].tolist())
    ordinary = float(_one_after_the_other(torch.from_numpy(terms), -1)[0])
    assert abs(ordinary - exact) > 1e-6


@pytest.mark.parametrize("length", [*LENGTHS, 590_848, 1 << 22])
def test_piece_bits_keep_every_partial_sum_whole_when_signs_are_the_worst(length: int) -> None:
    bits = piece_bits(length)
    assert bits[-1] == 0
    # First numbers round to at most twice themselves; later ones are halves, magnified.
    assert 2.0 * 2.0**22 * LARGEST_MASS <= 2.0**24
    assert all(length * 2.0 ** (each - 1) <= 2.0**24 for each in bits[:-1])
    left = 0.5 * length * 2.0 ** -(22 + sum(bits))
    assert left * length * ULP <= 2.0**-26


def test_exact_sum_is_no_number_when_a_term_is_none() -> None:
    terms = torch.tensor([[0.5, math.nan, 0.25], [0.5, math.inf, 0.25]])
    assert not torch.isfinite(exact_sum(terms)).any()
