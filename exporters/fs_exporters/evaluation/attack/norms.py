"""The balls that a perturbation stays in, each with its steepest step and its exact projection."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

Box = tuple[torch.Tensor, torch.Tensor]
"""The least and the largest perturbation of every pixel value; zero lies between them."""

_HALVINGS = 60


@dataclass(frozen=True)
class Norm(ABC):
    """A norm and how much of it an attack has.

    Attributes:
        radius: the perturbation's largest norm, over [0, 1] pixels.
    """

    name: ClassVar[str]
    radius: float

    @abstractmethod
    def start(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A random perturbation of ``pixels`` within the radius."""

    @abstractmethod
    def scaled(self, gradient: torch.Tensor) -> torch.Tensor:
        """A gradient that is not zero, by its length, so that steps of a momentum weigh alike."""

    @abstractmethod
    def step(self, direction: torch.Tensor) -> torch.Tensor:
        """The perturbation of norm one that goes furthest along ``direction``."""

    @abstractmethod
    def project(self, delta: torch.Tensor, box: Box | None) -> torch.Tensor:
        """The nearest perturbation (in l2) within the radius and, where there is one, the box."""

    @abstractmethod
    def size(self, delta: torch.Tensor) -> float:
        """The norm of a perturbation."""


class L2(Norm):
    """The Euclidean norm over all values of an image, which certificates are about."""

    name = "l2"

    def start(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A random direction, of the radius' length."""
        direction = torch.randn(pixels.shape, generator=generator, device=pixels.device)
        made: torch.Tensor = self.radius * direction / direction.norm()
        return made

    def scaled(self, gradient: torch.Tensor) -> torch.Tensor:
        """To length one."""
        return _unit(gradient)

    def step(self, direction: torch.Tensor) -> torch.Tensor:
        """The direction itself, of length one."""
        return _unit(direction)

    def project(self, delta: torch.Tensor, box: Box | None) -> torch.Tensor:
        """Onto ball and box at once: clamp(s delta), with the largest s in [0, 1] that ends within the radius.

        That is what the Karush-Kuhn-Tucker conditions of the projection say, with 1 / s = 1 + the ball's multiplier;
        clamping and scaling in turn would end elsewhere.
        """
        if box is None:
            length: torch.Tensor = delta.norm()
            return delta * (self.radius / length.clamp_min(self.radius))
        low, high = (bound.double() for bound in box)
        wide = delta.double()

        def at(share: torch.Tensor) -> torch.Tensor:
            return torch.clamp(share * wide, low, high)

        whole = wide.new_ones(())
        inside, outside = wide.new_zeros(()), whole
        for _ in range(_HALVINGS):
            middle = 0.5 * (inside + outside)
            fits = at(middle).norm() <= self.radius
            inside, outside = torch.where(fits, middle, inside), torch.where(fits, outside, middle)
        share = torch.where(at(whole).norm() <= self.radius, whole, inside)
        return at(share).to(delta.dtype)

    def size(self, delta: torch.Tensor) -> float:
        """Root of the sum of squares."""
        return float(delta.double().norm())


class Linf(Norm):
    """The largest change of any pixel value."""

    name = "linf"

    def start(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Each value uniform within the radius."""
        uniform = torch.rand(pixels.shape, generator=generator, device=pixels.device)
        return self.radius * (2.0 * uniform - 1.0)

    def scaled(self, gradient: torch.Tensor) -> torch.Tensor:
        """To mean size one (Dong et al. 2018)."""
        return gradient / gradient.abs().mean().clamp_min(1e-30)

    def step(self, direction: torch.Tensor) -> torch.Tensor:
        """The signs."""
        return direction.sign()

    def project(self, delta: torch.Tensor, box: Box | None) -> torch.Tensor:
        """Value by value, as ball and box are both boxes."""
        inside: torch.Tensor = delta.clamp(-self.radius, self.radius)
        return inside if box is None else torch.clamp(inside, *box)

    def size(self, delta: torch.Tensor) -> float:
        """The largest absolute value."""
        return float(delta.abs().max())


def _unit(vector: torch.Tensor) -> torch.Tensor:
    unit: torch.Tensor = vector / vector.norm().clamp_min(1e-30)
    return unit
