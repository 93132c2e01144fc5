"""The second stage: the mapper, on features that the encoder gives behind the finished purifier."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from fs_models.encoders import EncoderAdapter
from fs_models.gsb.fitting.crops import Batch, CropMaker, Part, ahead, stream_seed
from fs_models.gsb.fitting.losses import contrast_loss, robust_loss, statistics_loss
from fs_models.gsb.fitting.workers import Workers

CROPS, DRAWS = 16, 2
_ROWS = 128
_STATISTICS, _CONTRAST = 2.0, 0.3
_FEWEST, _MOST = 256, 40_000
_MEMORY = 2 << 30


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Features of noisy crops, and of the same crops without noise.

    Attributes:
        raw: [R, *feature_shape] behind the purifier.
        clean: [C, *feature_shape] by the bare encoder.
        sigma: [R].
        draws: rows of ``raw`` that each row of ``clean`` has.
    """

    raw: torch.Tensor
    clean: torch.Tensor
    sigma: torch.Tensor
    draws: int

    def rows(self, seed: int, step: int) -> torch.Tensor:
        """Numbers of the rows of one step."""
        generator = torch.Generator().manual_seed(stream_seed(seed, "rows", step))
        return torch.randint(len(self.raw), (min(_ROWS, len(self.raw)),), generator=generator).to(self.raw.device)

    @contextmanager
    def chances(self, seed: int, step: int) -> Iterator[None]:
        """What a mapper drops in one step: a function of the seed and the step alone."""
        device, chance = self.raw.device, stream_seed(seed, "dropout", step)
        on_gpu = device.type == "cuda"
        with torch.random.fork_rng(devices=[device] if on_gpu else []):
            torch.default_generator.manual_seed(chance)
            if on_gpu:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(chance)
            yield

    def loss(self, mapper: nn.Module, rows: torch.Tensor) -> torch.Tensor:
        """What to lower: 1 - cosine, the distance of the features' statistics, and their likeness to other crops.

        The identity at sigma = 0, a third term of the source, holds by construction.
        """
        crops = rows // self.draws
        mapped, clean = mapper(self.raw[rows], self.sigma[rows]), self.clean[crops]
        apart = _STATISTICS * statistics_loss(mapped, clean) + _CONTRAST * contrast_loss(mapped, clean, crops)
        return robust_loss(mapped, clean) + apart


def collect(
    encoder: EncoderAdapter,
    purifier: nn.Module,
    maker: CropMaker,
    workers: Workers,
    *,
    wanted: int,
    enough: Callable[[int], bool],
) -> FeatureBank:
    """Encode crops of the encoder's own size.

    Args:
        encoder: frozen.
        purifier: finished.
        maker: of the crops.
        workers: who do it.
        wanted: rows.
        enough: asked with the rows so far whether they will do; not heeded while they are very few.
    """
    row = 4 * math.prod(encoder.spec.feature_shape)
    most = min(max(wanted, _FEWEST), _MOST, max(_FEWEST, _MEMORY // row))
    made: list[tuple[torch.Tensor, ...]] = []

    def encode(part: Part) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            raw = encoder.encode(purifier(encoder.normalise(part.noisy), part.sigma))
            return raw.float(), encoder(part.crops).float(), part.sigma

    def make(step: int) -> Batch:
        return maker.batch(step, crops=CROPS, draws=DRAWS, height=maker.height, width=maker.width)

    for batch in ahead(make, 0):
        made += workers.map(encode, batch.parts(min(workers.count, CROPS), workers.device))
        rows = sum(len(raw) for raw, _, _ in made)
        stop = enough(rows)
        if rows >= most or (stop and rows >= _FEWEST):
            break
    raws, cleans, sigmas = (torch.cat(each).clone() for each in zip(*made, strict=True))
    return FeatureBank(raws, cleans, sigmas, DRAWS)
