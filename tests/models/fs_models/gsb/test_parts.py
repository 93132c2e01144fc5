"""Purifier and mappers: what holds for any weights."""

from collections.abc import Callable

import pytest
import torch
from helpers import tiny_gsb
from torch import nn

from fs_models.gsb.mapper import PooledMapper, PooledMapperSizes, TokenMapper, TokenMapperSizes
from fs_models.gsb.unet import UNetPurifier

PARTS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "unet": (lambda: UNetPurifier(tiny_gsb.SIZES), (3, 32, 48)),
    "unet, odd sides": (lambda: UNetPurifier(tiny_gsb.SIZES), (3, 19, 8)),
    "pooled": (lambda: PooledMapper(PooledMapperSizes(dimension=6, hidden=8)), (6,)),
    "tokens": (lambda: TokenMapper(TokenMapperSizes(tokens=5, channels=4, hidden=8, heads=2)), (5, 4)),
}


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest) -> tuple[nn.Module, torch.Tensor]:
    make, shape = PARTS[request.param]
    values = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    return tiny_gsb.randomise(make(), scale=0.05 if request.param.startswith("unet") else 0.2), values


def test_part_changes_nothing_when_sigma_is_zero(part: tuple[nn.Module, torch.Tensor]) -> None:
    module, values = part
    assert torch.equal(module(values, torch.zeros(1)), values)
    assert not torch.allclose(module(values, torch.tensor([0.25])), values, atol=1e-3)


def test_part_treats_each_row_alone_when_given_a_batch(part: tuple[nn.Module, torch.Tensor]) -> None:
    module, values = part
    sigma = torch.tensor([0.1, 0.25, 0.5])
    alone = torch.cat([module(row[None], at[None]) for row, at in zip(values, sigma, strict=True)])
    torch.testing.assert_close(module(values, sigma), alone, rtol=1e-4, atol=1e-5)


def test_part_heeds_sigma_when_it_differs(part: tuple[nn.Module, torch.Tensor]) -> None:
    module, values = part
    changes = [(module(values, torch.tensor([sigma])) - values) / sigma for sigma in (0.1, 0.5)]
    assert not torch.allclose(*changes, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["pooled", "tokens"])
def test_mapper_scales_with_the_feature_when_it_grows(name: str) -> None:
    make, shape = PARTS[name]
    module, values = tiny_gsb.randomise(make()), torch.randn(2, *shape, generator=torch.Generator().manual_seed(2))
    sigma = torch.tensor([0.25])
    torch.testing.assert_close(module(1000.0 * values, sigma), 1000.0 * module(values, sigma), rtol=1e-3, atol=1e-1)
