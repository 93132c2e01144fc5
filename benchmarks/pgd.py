"""A white-box attack on smoothed features: projected gradient descent through the mean of noisy unit features."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

Features = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Unit features [N, D] of an image [1, 3, H, W] under noise [N, 3, H, W]."""
Watch = Callable[[], object]


@dataclass(frozen=True)
class Goal:
    """Where the feature is to be turned.

    Attributes:
        name: for tables.
        vector: [D] unit vector.
        sign: -1 to turn away from it, +1 towards it.
    """

    name: str
    vector: torch.Tensor
    sign: float


@dataclass(frozen=True)
class Pgd:
    """How the attack walks.

    Attributes:
        steps: gradient steps.
        draws: noisy copies a step, fresh each time.
        first_step: length of the first step, as a share of the radius.
        last_step: the same of the last; in between they fall like half a cosine wave.
        momentum: weight of the former steps' gradients.
        memory: weight of the former steps' draws in the mean feature.
    """

    steps: int
    draws: int
    first_step: float = 0.5
    last_step: float = 0.02
    momentum: float = 0.7
    memory: float = 0.8

    def step(self, number: int) -> float:
        """Length of a step, as a share of the radius."""
        wave = 0.5 * (1.0 + math.cos(math.pi * number / max(1, self.steps - 1)))
        return self.last_step + (self.first_step - self.last_step) * wave


@dataclass(frozen=True)
class Attacked:
    """What one run of the attack ended with.

    Attributes:
        delta: [1, 3, H, W] perturbation, l2 norm at most the radius.
        goal: name of the goal.
        losses: of every step: minus sign times the cosine of the mean feature to the goal. It falls where the attack
            gets on; the draws' noise is in it.
    """

    delta: torch.Tensor
    goal: str
    losses: list[float]


def attacked(
    features: Features,
    pixels: torch.Tensor,
    goal: Goal,
    *,
    sigma: float,
    radius: float,
    start: torch.Tensor,
    pgd: Pgd,
    generator: torch.Generator,
    watch: Watch = lambda: None,
) -> Attacked:
    """Run the attack in the l2 ball around ``pixels``.

    The gradient is that of the cosine between the goal and the *mean* of the unit features, not of the mean of their
    cosines. The mean is over the draws of this and, with weights that fall geometrically, of former steps: over the few
    draws of one step alone their scatter would hide where the mean is. Pixels are not clipped to [0, 1]: a certificate
    speaks of every perturbation, and the larger set can only make the attack stronger.

    Args:
        features: the encoder.
        pixels: [1, 3, H, W] in [0, 1].
        goal: what to reach.
        sigma: noise standard deviation; 0 attacks the bare encoder.
        radius: l2 radius of the ball.
        start: [1, 3, H, W] first perturbation.
        pgd: how to walk.
        generator: of the noise.
        watch: called after every step.
    """
    delta = start.clone()
    direction = torch.zeros_like(delta)
    former, weight = torch.zeros_like(goal.vector), 0.0
    losses = []
    for number in range(pgd.steps):
        delta.requires_grad_()
        mean = features(pixels + delta, gaussian(pixels, pgd.draws, sigma, generator)).mean(0)
        total = pgd.memory * former + (1.0 - pgd.memory) * mean
        loss = -goal.sign * torch.nn.functional.cosine_similarity(total, goal.vector, dim=0)
        (gradient,) = torch.autograd.grad(loss, delta)
        losses.append(float(loss))
        former, weight = total.detach(), pgd.memory * weight + (1.0 - pgd.memory)
        direction = pgd.momentum * direction - unit(gradient)
        delta = within(delta.detach() + pgd.step(number) * radius * unit(direction), radius)
        watch()
    return Attacked(delta, goal.name, losses)


def gaussian(pixels: torch.Tensor, draws: int, sigma: float, generator: torch.Generator) -> torch.Tensor:
    """Noise [draws, 3, H, W], in the memory layout in which PyTorch's convolutions are fast."""
    noise = torch.empty((draws, *pixels.shape[1:]), memory_format=torch.channels_last)
    return noise.normal_(generator=generator).mul_(sigma)


def random_perturbation(pixels: torch.Tensor, radius: float, generator: torch.Generator) -> torch.Tensor:
    """A perturbation of l2 norm ``radius`` whose direction is uniform."""
    return radius * unit(gaussian(pixels, 1, 1.0, generator))


def within(delta: torch.Tensor, radius: float) -> torch.Tensor:
    """The nearest point of the l2 ball around 0."""
    norm = float(torch.linalg.vector_norm(delta.double()))
    # A hair inside, so that fp32 rounding does not leave the ball.
    return delta * min(1.0, radius * (1.0 - 1e-6) / norm) if norm > 0.0 else delta


def unit(vector: torch.Tensor) -> torch.Tensor:
    """``vector`` at norm 1; 0 stays."""
    norm = torch.linalg.vector_norm(vector)
    return vector / norm if norm > 0.0 else vector
