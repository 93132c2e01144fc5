"""The held-out photos: how near their noisy features come to the clean ones, on noise that is always the same."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import normalize

from fs_models.encoders import EncoderAdapter
from fs_models.gsb.fitting.crops import stream_seed
from fs_models.gsb.fitting.workers import Workers

_CHUNK = 8
_FLOOR = 1e-12

Part = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Verdict:
    """What a look at the held-out photos gives.

    Attributes:
        scores: mean Gaussian robustness score against the clean feature, by sigma.
        between: mean cosine between noisy features of different photos, at the sigma where it is largest.
    """

    scores: dict[float, float]
    between: float

    @property
    def mean(self) -> float:
        """Over the sigmas."""
        return sum(self.scores.values()) / len(self.scores)


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges boosters.

    Attributes:
        encoder: frozen.
        pixels: [K, 3, H, W] held-out photos in [0, 1].
        clean: [K, D] their unit features by the bare encoder.
        sigmas: of the noise.
        seed: of the noise.
        workers: who encode.
    """

    encoder: EncoderAdapter
    pixels: torch.Tensor
    clean: torch.Tensor
    sigmas: tuple[float, ...]
    seed: int
    workers: Workers

    @classmethod
    def of(
        cls, encoder: EncoderAdapter, pixels: torch.Tensor, sigmas: tuple[float, ...], seed: int, workers: Workers
    ) -> "Judge":
        """A judge by photos [K, 3, H, W]."""

        def encode(chunk: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode():
                return _unit(encoder(chunk))

        clean = torch.cat(workers.map(encode, torch.split(pixels, _CHUNK))).clone()
        return cls(encoder, pixels, clean, sigmas, seed, workers)

    @property
    def clean_between(self) -> float:
        """Mean cosine between clean features of different photos."""
        return mean_between(self.clean)

    def raw(self, purifier: Part | None, sigma: float, draw: int) -> torch.Tensor:
        """[K, *feature_shape] raw features of one draw for every photo."""
        device = self.pixels.device
        generator = torch.Generator(device).manual_seed(stream_seed(self.seed, "judge", sigma, draw))
        noisy = self.pixels + sigma * torch.randn(self.pixels.shape, generator=generator, device=device)
        at = torch.tensor([sigma], device=device)

        def encode(chunk: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode():
                normalised = self.encoder.normalise(chunk)
                purified = normalised if purifier is None else purifier(normalised, at)
                return self.encoder.encode(purified).float()

        return torch.cat(self.workers.map(encode, torch.split(noisy, _CHUNK))).clone()

    def look(self, purifier: Part | None, mapper: Part | None, draws: int = 1) -> Verdict:
        """Judge a booster by ``draws`` noisy copies of each photo; None: no such part."""
        raws = {sigma: [self.raw(purifier, sigma, draw) for draw in range(draws)] for sigma in self.sigmas}
        return self.verdict(raws, mapper)

    def verdict(self, raws: dict[float, list[torch.Tensor]], mapper: Part | None) -> Verdict:
        """Judge a mapper by features that :meth:`raw` gave, by sigma."""
        scores, between = {}, -1.0
        with torch.inference_mode():
            for sigma, draws in raws.items():
                at = torch.tensor([sigma], device=self.pixels.device)
                units = [_unit(raw if mapper is None else mapper(raw, at)) for raw in draws]
                cosines = torch.stack([(unit * self.clean).sum(1) for unit in units])
                scores[sigma] = float((1.0 + cosines.double()).mean()) / 2.0
                between = max(between, sum(mean_between(unit) for unit in units) / len(units))
        return Verdict(scores, between)


def _unit(raw: torch.Tensor) -> torch.Tensor:
    return normalize(raw.flatten(1).float(), dim=1, eps=_FLOOR)


def mean_between(units: torch.Tensor) -> float:
    """Mean inner product of different rows of unit features [K, D]; K is two or more."""
    count = len(units)
    return (float(units.double().sum(0).square().sum()) - count) / (count * (count - 1))


def averaged(module: nn.Module, average: dict[str, torch.Tensor]) -> nn.Module:
    """Load averaged weights into ``module``, a copy that is not trained."""
    module.load_state_dict(average)
    return module.eval().requires_grad_(False)
