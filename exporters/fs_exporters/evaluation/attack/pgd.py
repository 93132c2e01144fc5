"""Projected gradient descent against a smoothed feature, with the expectation taken over fresh noise.

It goes through everything between pixels and feature: normalisation, purifier, encoder and mapper, so it adapts to a
booster (Athalye et al. 2018, Tramer et al. 2020), and each step sees other noise (Salman et al. 2019).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from fs_exporters.evaluation.attack.errors import NoGradientError
from fs_exporters.evaluation.attack.losses import Loss
from fs_exporters.evaluation.attack.norms import Norm

Encoder = Callable[[torch.Tensor], torch.Tensor]
"""Noisy pixels [N, 3, H, W] to unit features [N, D]; differentiable."""

# An average over about ten steps takes most of the noise out of the gradient.
_MOMENTUM = 0.9
_TRAVEL = 2.5


class Objective(Protocol):
    """What an attack wants."""

    def views(self, attacked: torch.Tensor, draws: int, generator: torch.Generator) -> torch.Tensor:
        """What noise is added to: ``attacked`` [1, 3, H, W] itself, or [draws, 3, H, W] pictures made of it."""

    def loss(self, features: torch.Tensor) -> torch.Tensor:
        """A number to make small, of the unit features of the noisy views: [draws, D], one row where no noise is."""


@dataclass(frozen=True)
class OfMean:
    """An objective about the smoothed feature of the whole image."""

    of: Loss

    def views(self, attacked: torch.Tensor, draws: int, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002
        """The image itself."""
        return attacked

    def loss(self, features: torch.Tensor) -> torch.Tensor:
        """The loss of the mean."""
        return self.of(features.mean(0))


@dataclass(frozen=True)
class Pgd:
    """How an attack is made.

    Attributes:
        norm: and radius of the perturbation.
        sigma: of the smoothing noise, over [0, 1] pixels; 0: a bare encoder, which needs no draws.
        steps: gradient steps, each 2.5 radius / steps long.
        draws: noisy copies a step, an even number: every noise comes with its negative, which takes the even part of
            its effect out of the gradient and leaves each copy's law what it was.
        boxed: keep attacked pixels in [0, 1], as those of an image file are. A certificate covers others too.
    """

    norm: Norm
    sigma: float
    steps: int
    draws: int
    boxed: bool

    def attacked(
        self, encode: Encoder, pixels: torch.Tensor, objective: Objective, generator: torch.Generator
    ) -> torch.Tensor:
        """A perturbation [1, 3, H, W] of ``pixels`` within the radius that makes the objective's loss small.

        It begins at a random perturbation.

        Args:
            encode: the encoder that the noisy copies go through.
            pixels: [1, 3, H, W], over [0, 1].
            objective: what to make small.
            generator: of the noise and the beginning, on the device of ``pixels``.

        Raises:
            NoGradientError: a gradient is not finite, or all of them are zero.
        """
        box = (-pixels, 1.0 - pixels) if self.boxed else None
        length = _TRAVEL * self.norm.radius / self.steps
        delta = self.norm.project(self.norm.start(pixels, generator), box)
        direction = torch.zeros_like(delta)
        largest = 0.0
        for _ in range(self.steps):
            delta.requires_grad_()
            views = objective.views(pixels + delta, self.draws, generator)
            features = encode(views + self._noise(pixels, generator) if self.sigma > 0.0 else views)
            (gradient,) = torch.autograd.grad(objective.loss(features), delta)
            steepness = float(gradient.abs().max())
            if not steepness < float("inf"):
                raise NoGradientError("the gradient to the pixels is not finite, so no attack can follow it")
            largest = max(largest, steepness)
            direction = _MOMENTUM * direction - self.norm.scaled(gradient)
            delta = self.norm.project(delta.detach() + length * self.norm.step(direction), box)
        if largest == 0.0:
            raise NoGradientError(
                "no gradient reaches the pixels, so that the attack would only seem to fail: some part between pixels "
                "and feature has the derivative zero everywhere"
            )
        return delta

    def _noise(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """[draws, 3, H, W], rows 2 k and 2 k + 1 one another's negative."""
        shape = (self.draws // 2, *pixels.shape[1:])
        half = self.sigma * torch.randn(shape, generator=generator, device=pixels.device)
        return torch.stack([half, -half], dim=1).flatten(0, 1)
