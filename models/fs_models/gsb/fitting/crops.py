"""Augmented crops and their noise: a function of the seed and the step alone, so that a resumed fit sees the same."""

import hashlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from PIL import Image

from fs_models.gsb.fitting.photos import Photos, Uint8

_LEAST_REGION = 0.6
_STRETCH = 0.1


@dataclass(frozen=True)
class Part:
    """Crops with their noisy copies.

    Attributes:
        crops: [B, 3, h, w] pixels in [0, 1].
        noisy: [B * draws, 3, h, w], each crop's draws side by side.
        sigma: [B * draws].
    """

    crops: torch.Tensor
    noisy: torch.Tensor
    sigma: torch.Tensor

    @property
    def draws(self) -> int:
        """Noisy copies of each crop."""
        return len(self.noisy) // len(self.crops)


@dataclass(frozen=True)
class Batch:
    """One step's data.

    Attributes:
        crops: [B, 3, h, w] pixels in [0, 1].
        draws: noisy copies that are made of each crop.
        sigma: [B * draws].
        noise_seed: of :meth:`parts`.
        progress: of the stage, in [0, 1], that it was made for; by the time it is used, the clock may be further.
    """

    crops: torch.Tensor
    draws: int
    sigma: torch.Tensor
    noise_seed: int
    progress: float = 1.0

    def parts(self, count: int, device: torch.device) -> list["Part"]:
        """The batch with its noise, in ``count`` parts of whole crops."""
        generator = torch.Generator(device=device).manual_seed(self.noise_seed)
        crops, sigma = self.crops.to(device), self.sigma.to(device)
        repeated = crops.repeat_interleave(self.draws, dim=0)
        noise = torch.randn(repeated.shape, generator=generator, device=device)
        noisy = repeated + sigma.view(-1, 1, 1, 1) * noise
        size = math.ceil(len(crops) / count)
        rows = size * self.draws
        return [
            Part(*part)
            for part in zip(torch.split(crops, size), torch.split(noisy, rows), torch.split(sigma, rows), strict=True)
        ]


@dataclass(frozen=True)
class CropMaker:
    """Makes batches.

    Attributes:
        photos: those to fit on.
        height: of the encoder's input.
        width: likewise.
        sigmas: of the noise; stronger noise comes in proportion more often, as it is the harder.
        seed: of everything.
        stage: sets the stages' streams apart.
    """

    photos: Photos
    height: int
    width: int
    sigmas: tuple[float, ...]
    seed: int
    stage: str

    def batch(self, step: int, *, crops: int, draws: int, height: int, width: int) -> Batch:
        """The batch of one step.

        Args:
            step: any number.
            crops: different crops in it.
            draws: noisy copies of each.
            height: of a crop; one that is smaller than the encoder's input shows less, at the same scale.
            width: likewise.
        """
        random = np.random.default_rng(stream_seed(self.seed, self.stage, step))
        chosen = random.integers(0, len(self.photos.fitted), crops)
        made = np.stack([self._crop(self.photos.photo(index), height, width, random) for index in chosen])
        pixels = torch.from_numpy(made).permute(0, 3, 1, 2).float() / 255.0
        weights = np.array(self.sigmas) / sum(self.sigmas)
        sigma = torch.from_numpy(random.choice(self.sigmas, crops * draws, p=weights).astype(np.float32))
        return Batch(pixels, draws, sigma, int(random.integers(0, 1 << 62)))

    def _crop(self, photo: Uint8, height: int, width: int, random: np.random.Generator) -> Uint8:
        """A region of a photo as [height, width, 3], about as large on it as the encoder would see it."""
        whole = min(photo.shape[0] / self.height, photo.shape[1] / self.width)
        scale, stretch = random.uniform(_LEAST_REGION, 1.0) * whole, math.exp(random.uniform(-_STRETCH, _STRETCH))
        tall, wide = min(scale * height * stretch, photo.shape[0]), min(scale * width / stretch, photo.shape[1])
        top, left = random.uniform(0.0, photo.shape[0] - tall), random.uniform(0.0, photo.shape[1] - wide)
        box = (left, top, left + wide, top + tall)
        made = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC, box=box))
        return made[:, ::-1] if random.random() < 0.5 else made


def ahead(make: Callable[[int], Batch], first: int) -> Iterator[Batch]:
    """Batches of the steps from ``first`` on, the next one always in the making."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(make, first)
        for step in count(first + 1):
            batch = pending.result()
            pending = pool.submit(make, step)
            yield batch


def stream_seed(*parts: object) -> int:
    """A seed that differs with every part."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little") >> 1
