"""The smoothed graph: one image, N draws of noise, and what a certificate needs of their features."""

import math
from collections.abc import Callable

import torch
from torch import nn

from fs_exporters.graph.exact_sum import exact_sum
from fs_models.encoders import EncoderAdapter
from fs_models.gsb import Booster

_Terms = Callable[[torch.Tensor], torch.Tensor]
_Sums = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class SmoothedGraph(nn.Module):
    """Noise, normalisation, purifier, encoder, mapper, unit norm, reductions, in this order (docs/theory.md).

    Noise arrives scaled by sigma and on the pixel grid, and is added in fp32, where the sum is exact (section 8). Unit
    norm and reductions are in fp32 at every precision, by exact sums for tokens. Nothing acts across the batch before
    the reductions.
    """

    def __init__(self, encoder: EncoderAdapter, booster: Booster) -> None:
        super().__init__()
        self.encoder = encoder
        self.booster = booster
        self.gives_features = encoder.spec.tap != "tokens"

    def forward(
        self, pixel_values: torch.Tensor, noise: torch.Tensor, reference: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Run one noise batch.

        Args:
            pixel_values: fp32 [1, 3, H, W] in [0, 1], on the grid.
            noise: fp32 [N, 3, H, W].
            reference: fp32 [D].

        Returns:
            cosine [N], feature_sum [D], raw_norm [N], and for pooled and cls taps features [N, D].
        """
        return self._outputs(
            self._raw(pixel_values + noise),
            terms=lambda rows: rows * reference,
            sums=lambda features, _: features.sum(0),
        )

    def unit_features(self, noisy: torch.Tensor) -> torch.Tensor:
        """Unit features [N, D], fp32, of noisy pixels [N, 3, H, W]: what the graph reduces; differentiable."""
        flat = self._raw(noisy)
        unit: torch.Tensor = flat / torch.linalg.vector_norm(flat, dim=1, keepdim=True)
        return unit

    def _outputs(self, flat: torch.Tensor, *, terms: _Terms, sums: _Sums) -> tuple[torch.Tensor, ...]:
        """Unit norm and reductions of raw features [N, D].

        Args:
            flat: fp32 raw features.
            terms: the terms [N, D] of the inner products of rows [N, D] with their references. No matrix product, which
                some engines have in half precision only.
            sums: sums of the unit features [N, D], which also gets the raw norms [N].
        """
        if self.gives_features:
            raw_norm = torch.linalg.vector_norm(flat, dim=1)
            features = flat / raw_norm.unsqueeze(1)
            return terms(features).sum(1), sums(features, raw_norm), raw_norm, features
        # Tokens stay inside, so these cosines are what is certified, and ordinary fp32 sums over so many numbers are
        # off by more than the certificate allows for (docs/theory.md section 8.4). The scale need only be near the
        # norm, and a power of two adds no rounding.
        largest = flat.abs().amax(1, keepdim=True)
        scale = largest * torch.linalg.vector_norm(flat / largest, dim=1, keepdim=True)
        scale = torch.exp2(torch.ceil(torch.log2(scale)))
        rows = flat / scale
        norm = exact_sum(rows * rows).sqrt()
        cosine = exact_sum(terms(rows)) / norm
        raw_norm = scale.squeeze(1) * norm
        return cosine, sums(flat / raw_norm.unsqueeze(1), raw_norm), raw_norm

    def _raw(self, noisy: torch.Tensor) -> torch.Tensor:
        """Flattened raw features, fp32 [N, D], of noisy pixels [N, 3, H, W]."""
        normalised = self.encoder.normalise(noisy)
        return self.booster.map(self.encoder.encode(self.booster.purify(normalised))).flatten(1).float()


class MixedGraph(SmoothedGraph):
    """The same for the draws of several images in one noise batch: each draw says which image it is of."""

    def forward(  # type: ignore[override]  # one input more
        self, pixel_values: torch.Tensor, noise: torch.Tensor, reference: torch.Tensor, image_index: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Run one noise batch.

        Args:
            pixel_values: fp32 [K, 3, H, W] in [0, 1], on the grid.
            noise: fp32 [N, 3, H, W].
            reference: fp32 [K, D].
            image_index: int64 [N], in 0 .. K - 1.

        Returns:
            cosine [N], feature_sum [K, D], raw_norm [N], and for pooled and cls taps features [N, D].
        """
        return self._outputs(
            self._raw(pixel_values.index_select(0, image_index) + noise),
            terms=lambda rows: rows * reference.index_select(0, image_index),
            sums=lambda features, raw_norm: _sums(features, raw_norm, image_index, len(pixel_values)),
        )


def _sums(features: torch.Tensor, raw_norm: torch.Tensor, image_index: torch.Tensor, images: int) -> torch.Tensor:
    """Sum [K, D] of the unit features [N, D] of each image's draws; NaN for an image one of whose draws has none.

    A product with zeros and ones, as engines have no scatter-add. A draw without a unit feature (its raw one is zero,
    infinite or no number) would spoil every image's sum there, for zero times NaN is NaN, so it is set apart.
    """
    slots = torch.arange(images, device=image_index.device)
    belongs = (slots.unsqueeze(1) == image_index.unsqueeze(0)).float()
    sound = ((raw_norm > 0.0) & (raw_norm < math.inf)).unsqueeze(1)
    sums = belongs @ torch.where(sound, features, 0.0)
    unsound = belongs @ (~sound).float()
    return torch.where(unsound > 0.0, math.nan, sums)


def smoothed_graph(encoder: EncoderAdapter, booster: Booster, *, images: int) -> SmoothedGraph:
    """The graph for noise batches of ``images`` images, in evaluation mode."""
    made = SmoothedGraph(encoder, booster) if images == 1 else MixedGraph(encoder, booster)
    return made.eval()
