"""Boosters for the tiny encoder: random ones in no time, and fits of a few steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from helpers import tiny_torch

from fs_models.gsb.checkpoint import FittedEncoder, GsbConfig, make_mapper, make_purifier, write_checkpoint
from fs_models.gsb.fitting import fit, mapper_stage, purifier_stage
from fs_models.gsb.mapper import PooledMapperSizes, TokenMapperSizes
from fs_models.gsb.unet import UNetSizes

SIZES = UNetSizes(channels=(8, 8, 8, 8), blocks=(1, 1, 1))
SIGMAS = (0.1, 0.25)


def randomise(module: torch.nn.Module, seed: int = 0, scale: float = 0.2) -> torch.nn.Module:
    """Give every weight a random value, so that nothing is the identity because it is untrained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return module.eval().requires_grad_(False)


def mapper_sizes(tap: str) -> PooledMapperSizes | TokenMapperSizes:
    if tap == "tokens":
        return TokenMapperSizes(tokens=2, channels=3, hidden=8, heads=2)
    return PooledMapperSizes(dimension=6, hidden=8)


def write(folder: Path, tap: Any = "pooled", sigmas: tuple[float, ...] = SIGMAS) -> Path:
    """A random booster for the tiny encoder."""
    config = GsbConfig(
        encoder=FittedEncoder.of(tiny_torch.tiny_adapter(tap)),
        sigmas=sigmas,
        purifier=SIZES,
        mapper=mapper_sizes(tap),
    )
    purifier, mapper = make_purifier(config.purifier), make_mapper(config.mapper)
    assert purifier is not None
    assert mapper is not None
    write_checkpoint(folder, config, randomise(purifier), randomise(mapper))
    return folder


@contextmanager
def small_fits() -> Iterator[None]:
    """Let fits make tiny purifiers, from few crops and features."""
    with (
        mock.patch.object(fit, "UNetSizes", return_value=SIZES),
        mock.patch.object(purifier_stage, "_PIXELS_CROPS", 1),
        mock.patch.object(purifier_stage, "_STEP", 8),
        mock.patch.object(mapper_stage, "_FEWEST", 64),
    ):
        yield
