"""The first stage: the purifier, through the frozen encoder."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from fs_models.encoders import EncoderAdapter
from fs_models.gsb.fitting.crops import Batch, CropMaker, Part
from fs_models.gsb.fitting.inner import InnerMaps
from fs_models.gsb.fitting.losses import inner_loss, pixel_loss, robust_loss

CROPS, CROPS_ON_GPU, DRAWS = 4, 32, 2
_PIXELS_ONLY, _PIXELS_SIDE, _PIXELS_CROPS = 0.05, 0.29, 3
_INNER, _PIXEL = 0.5, 0.1
_SIDES = ((0.6, 0.71), (1.0, 1.0))
"""Until which progress crops have which side, in units of the input. Much smaller ones teach the wrong thing: their
features, of few places, are unlike those of whole inputs."""
_STEP = 32


@dataclass(frozen=True, eq=False)
class PurifierStage:
    """Batches and losses of the purifier.

    Early on only pixels are compared, which is cheap; then features, at first on small crops where the encoder takes
    them, at last on whole inputs.
    """

    encoder: EncoderAdapter
    inner: InnerMaps
    maker: CropMaker
    crops: int
    flexible: bool

    def batch(self, step: int, progress: float) -> Batch:
        """The batch of a step, for the loss at the same progress."""
        return replace(self._batch(step, progress), progress=progress)

    def _batch(self, step: int, progress: float) -> Batch:
        if progress < _PIXELS_ONLY:
            height, width = (_rounded(_PIXELS_SIDE, whole) for whole in (self.maker.height, self.maker.width))
            return self.maker.batch(step, crops=_PIXELS_CROPS * self.crops, draws=DRAWS, height=height, width=width)
        side = next((side for until, side in _SIDES if progress < until), 1.0)
        height, width = (_rounded(side, whole) for whole in (self.maker.height, self.maker.width))
        if not self.flexible:
            height, width = self.maker.height, self.maker.width
        return self.maker.batch(step, crops=self.crops, draws=DRAWS, height=height, width=width)

    def loss(self, purifier: nn.Module, part: Part, progress: float) -> torch.Tensor:
        """What to lower, with a part of a batch that was made for ``progress``."""
        encoder, sigma = self.encoder, part.sigma
        clean = encoder.normalise(part.crops)
        with torch.autocast(sigma.device.type, torch.bfloat16, enabled=sigma.device.type == "cuda"):
            purified = purifier(encoder.normalise(part.noisy), sigma)
            repeated = clean.repeat_interleave(part.draws, dim=0)
            pixels = pixel_loss(purified, repeated, sigma, encoder.get_buffer("std"))
            if progress < _PIXELS_ONLY:
                return pixels
            with torch.no_grad(), self.inner.heard() as targets:
                target = encoder.encode(clean)
            with self.inner.heard() as maps:
                feature = encoder.encode(purified)
        robust = robust_loss(feature, target.repeat_interleave(part.draws, dim=0))
        inner = inner_loss(maps, [each.repeat_interleave(part.draws, dim=0) for each in targets])
        return robust + _INNER * inner + _PIXEL * pixels


def takes_crops(encoder: EncoderAdapter, device: torch.device) -> bool:
    """Whether an encoder gives its feature of smaller inputs too, which are cheaper to train on."""
    spec = encoder.spec
    small = (_rounded(_SIDES[0][1], side) for side in (spec.height, spec.width))
    try:
        with torch.inference_mode():
            shape = encoder.encode(torch.zeros(1, 3, *small, device=device)).shape[1:]
    except (RuntimeError, ValueError):  # it takes one size only, and says so in its own way
        return False
    return tuple(shape) == spec.feature_shape


def _rounded(share: float, side: int) -> int:
    """A share of a side, in whole strides of most encoders."""
    return side if share >= 1.0 else min(side, max(_STEP, _STEP * round(share * side / _STEP)))
