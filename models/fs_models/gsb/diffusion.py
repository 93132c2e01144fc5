"""A denoising diffusion network as the purifier: one step, at the time whose noise is sigma (one U-Net call a draw)."""

from typing import Any, Literal

import msgspec
import torch
from torch import nn

Prediction = Literal["epsilon", "v_prediction", "sample"]


class DiffusionSizes(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="diffusion", tag_field="kind"
):
    """A ``diffusers`` UNet2DModel and what its pixels and times mean.

    Attributes:
        unet: the model's own config.json.
        mean: of the encoder's normalisation, over [0, 1] pixels.
        std: likewise.
        alphas_cumprod: the schedule, from little noise to much: at time t the network was trained on
            ``sqrt(a_t) x + sqrt(1 - a_t) e`` with x in [-1, 1].
        prediction: what the network gives.
    """

    unet: dict[str, Any]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    alphas_cumprod: tuple[float, ...]
    prediction: Prediction = "epsilon"


class DiffusionPurifier(nn.Module):
    """The network's estimate of the clean image from one call.

    Pixels in [0, 1] with noise sigma become ``y = 2 x - 1`` with noise 2 sigma, that is ``y / sqrt(1 + 4 sigma^2)`` is
    what a variance-preserving schedule has at the time where ``(1 - a_t) / a_t = 4 sigma^2``. The nearest time of the
    schedule conditions the network; the scaling is sigma's own. The noise it predicts is taken off times sigma, so that
    sigma = 0 changes nothing.
    """

    def __init__(self, sizes: DiffusionSizes, network: nn.Module) -> None:
        super().__init__()
        self.sizes = sizes
        self.network = network
        kept = torch.tensor(sizes.alphas_cumprod, dtype=torch.float64)
        self.register_buffer("levels", ((1.0 - kept) / kept).sqrt().float(), persistent=False)
        self.register_buffer("mean", torch.tensor(sizes.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(sizes.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, normalised: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Purified pixels.

        Args:
            normalised: noisy pixels [B, 3, H, W] after the encoder's own normalisation.
            sigma: [B] or [1], noise standard deviation over [0, 1] pixels.
        """
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        noisy = 2.0 * (normalised * std + mean) - 1.0
        level = 2.0 * sigma.view(-1, 1, 1, 1)
        noise = self._noise(noisy, level, self.timestep(sigma))
        return normalised - 0.5 * level * noise / std

    def timestep(self, sigma: torch.Tensor) -> torch.Tensor:
        """[B] times of the schedule whose noise is nearest to sigma [B]."""
        levels = self.get_buffer("levels")
        return (levels.unsqueeze(0) - 2.0 * sigma.unsqueeze(1)).abs().argmin(dim=1)

    def _noise(self, noisy: torch.Tensor, level: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The unit noise in ``noisy`` = clean + level * noise, over [-1, 1] pixels."""
        kept = (1.0 + level.square()).rsqrt()
        given: torch.Tensor = self.network(kept * noisy, timestep.expand(len(noisy)), return_dict=False)[0][:, :3]
        if self.sizes.prediction == "epsilon":
            return given
        if self.sizes.prediction == "v_prediction":  # v = sqrt(a) e - sqrt(1 - a) x
            return kept * given + kept * level * kept * noisy
        return (noisy - given) / level.clamp(min=1e-6)
