"""Projected gradient descent against a smoothed feature: white-box, l2, with the expectation taken over fresh noise."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import cosine_similarity

Encoder = Callable[[torch.Tensor], torch.Tensor]
"""Noisy pixels [N, 3, H, W] to unit features [N, D]; differentiable."""
Loss = Callable[[torch.Tensor], torch.Tensor]
"""The mean [D] of noisy unit features to a number that the attack makes small."""

# An average over about ten steps takes most of the noise out of the gradient.
_MOMENTUM = 0.9
_TRAVEL = 2.5


@dataclass(frozen=True)
class Pgd:
    """How an attack is made.

    Attributes:
        sigma: of the smoothing noise, over [0, 1] pixels.
        radius: the perturbation's largest l2 norm, over [0, 1] pixels.
        steps: gradient steps, each 2.5 radius / steps long.
        draws: noisy copies a step, an even number: every noise comes with its negative, which takes the even part of
            its effect out of the gradient and leaves each copy's law what it was.
    """

    sigma: float
    radius: float
    steps: int
    draws: int

    def attacked(self, encode: Encoder, pixels: torch.Tensor, loss: Loss, generator: torch.Generator) -> torch.Tensor:
        """A perturbation [1, 3, H, W] of ``pixels`` within the radius that makes the loss small.

        It begins in a random direction, and attacked pixels may leave [0, 1]: certificates cover that too.

        Args:
            encode: the encoder that the noisy copies go through.
            pixels: [1, 3, H, W], over [0, 1].
            loss: what to make small.
            generator: of the noise and the beginning, on the device of ``pixels``.
        """
        start = torch.randn(pixels.shape, generator=generator, device=pixels.device)
        delta: torch.Tensor = self.radius * start / start.norm()
        direction = torch.zeros_like(delta)
        for _ in range(self.steps):
            half = self.sigma * torch.randn(
                (self.draws // 2, *pixels.shape[1:]), generator=generator, device=pixels.device
            )
            delta.requires_grad_()
            features = encode(pixels + delta + torch.cat([half, -half]))
            (gradient,) = torch.autograd.grad(loss(features.mean(0)), delta)
            direction = _MOMENTUM * direction - gradient / gradient.norm().clamp_min(1e-30)
            step = _TRAVEL * self.radius / self.steps
            delta = self._inside(delta.detach() + step * direction / direction.norm().clamp_min(1e-30))
        return delta

    def _inside(self, delta: torch.Tensor) -> torch.Tensor:
        length: torch.Tensor = delta.norm()
        return delta * (self.radius / length.clamp_min(self.radius))


def turning(reference: torch.Tensor) -> Loss:
    """Away from a reference [D]: its cosine with the smoothed feature."""
    return lambda mean: cosine_similarity(mean, reference, dim=0)


def targeted(target: torch.Tensor) -> Loss:
    """Towards a target [D], such as another image's feature: its cosine, negated."""
    return lambda mean: -cosine_similarity(mean, target, dim=0)
