"""Boosters for the tiny encoder: random ones in no time, and fits of a few steps."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from helpers import tiny_torch

from fs_models.gsb.checkpoint import (
    FittedEncoder,
    GsbConfig,
    PurifierSizes,
    make_mapper,
    make_purifier,
    write_checkpoint,
)
from fs_models.gsb.diffusers_folder import alphas_cumprod
from fs_models.gsb.diffusion import DiffusionSizes
from fs_models.gsb.fitting import fit, mapper_stage, purifier_stage
from fs_models.gsb.mapper import PooledMapperSizes, TokenMapperSizes
from fs_models.gsb.unet import UNetSizes

SIZES = UNetSizes(channels=(8, 8, 8), blocks=(1, 1, 1))
SIGMAS = (0.1, 0.25)
TINY_DIFFUSION: dict[str, Any] = {
    "_class_name": "UNet2DModel",
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "add_attention": False,
}
TINY_SCHEDULE: dict[str, Any] = {"_class_name": "DDPMScheduler", "beta_schedule": "linear", "num_train_timesteps": 100}


def randomise(module: torch.nn.Module, seed: int = 0, scale: float = 0.2) -> torch.nn.Module:
    """Give every weight a random value, so that nothing is the identity because it is untrained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return module.eval().requires_grad_(False)


def diffusion_sizes() -> DiffusionSizes:
    """A tiny UNet2DModel of diffusers."""
    spec = tiny_torch.tiny_adapter().spec
    kept = tuple(alphas_cumprod({}, Path()))
    return DiffusionSizes(unet=TINY_DIFFUSION, mean=spec.mean, std=spec.std, alphas_cumprod=kept)


def save_diffusion(folder: Path, seed: int = 0) -> Any:
    """A random UNet2DModel and its schedule, as diffusers saves them; the network is given back."""
    from diffusers import UNet2DModel

    network = UNet2DModel(**{key: value for key, value in TINY_DIFFUSION.items() if key[0] != "_"})
    randomise(network, seed)
    network.save_pretrained(folder)
    (folder / "scheduler_config.json").write_text(json.dumps(TINY_SCHEDULE))
    return network


def mapper_sizes(tap: str) -> PooledMapperSizes | TokenMapperSizes:
    if tap == "tokens":
        return TokenMapperSizes(tokens=2, channels=3, hidden=8, heads=2)
    return PooledMapperSizes(dimension=6, hidden=8)


def write(
    folder: Path, tap: Any = "pooled", sigmas: tuple[float, ...] = SIGMAS, purifier: PurifierSizes = SIZES
) -> Path:
    """A random booster for the tiny encoder."""
    config = GsbConfig(
        encoder=FittedEncoder.of(tiny_torch.tiny_adapter(tap)),
        sigmas=sigmas,
        purifier=purifier,
        mapper=mapper_sizes(tap),
    )
    parts = make_purifier(config.purifier), make_mapper(config.mapper)
    write_checkpoint(folder, config, *(randomise(part) for part in parts if part is not None))
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
